package cachepolicy;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * An exported bundle whose files are as they were written.
 *
 * @param folder where its files are
 * @param metadata metadata.json
 * @param golden golden.json
 */
record Bundle(Path folder, JsonObject metadata, Golden golden) {
    static final String POLICY = "policy.pt";
    static final String ONNX = "policy.onnx";
    private static final String METADATA = "metadata.json";
    private static final String GOLDEN = "golden.json";
    private static final Set<String> HASHED = new TreeSet<>(Set.of(POLICY, ONNX, GOLDEN, "README.md"));
    private static final int SCHEMA_VERSION = 2;
    private static final long MAX_FILE_BYTES = 64L << 20;

    /** Reads the bundle in {@code folder} and checks the sha256 of each file, metadata.json included. */
    static Bundle read(Path folder) throws IOException, BundleException {
        checkNames(folder);
        JsonObject metadata = json(METADATA, bytes(folder, METADATA));
        JsonElement version = metadata.get("schema_version");
        if (version == null || !version.toString().equals(String.valueOf(SCHEMA_VERSION))) {
            throw new BundleException(
                    METADATA + " has schema version " + version + ", this program reads " + SCHEMA_VERSION);
        }
        checkContent(metadata);
        Map<String, JsonElement> files = metadata.getAsJsonObject("files").asMap();
        if (!files.keySet().equals(HASHED)) {
            throw new BundleException(METADATA + ": files must list " + HASHED + " and no other");
        }
        Golden golden = null;
        for (String name : HASHED) {
            byte[] content = bytes(folder, name);
            if (!sha256(content).equals(files.get(name).getAsString())) {
                throw new BundleException(name + " was changed since it was exported");
            }
            if (name.equals(GOLDEN)) {
                golden = Golden.of(json(name, content));
            }
        }
        return new Bundle(folder, metadata, golden);
    }

    /** What the policy decides: eviction, admission or ttl. */
    String decision() {
        return metadata.get("decision").getAsString();
    }

    /** The name of the bundle's contents. */
    String sha256() {
        return metadata.get("sha256").getAsString();
    }

    private static void checkNames(Path folder) throws IOException, BundleException {
        Set<String> needed = new TreeSet<>(HASHED);
        needed.add(METADATA);
        try (Stream<Path> entries = Files.list(folder)) {
            Set<String> found = entries.map(path -> path.getFileName().toString()).collect(Collectors.toSet());
            if (!found.equals(needed)) {
                throw new BundleException(folder + " must hold " + needed + " and no other, it holds " + found);
            }
        }
    }

    private static void checkContent(JsonObject metadata) throws BundleException {
        JsonObject content = metadata.deepCopy();
        JsonElement recorded = content.remove("sha256");
        String actual = sha256(CanonicalJson.of(content).getBytes(StandardCharsets.US_ASCII));
        if (recorded == null || !recorded.isJsonPrimitive() || !recorded.getAsString().equals(actual)) {
            throw new BundleException(METADATA + " was changed since it was exported");
        }
    }

    private static byte[] bytes(Path folder, String name) throws IOException, BundleException {
        Path path = folder.resolve(name);
        if (!Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS) || Files.size(path) > MAX_FILE_BYTES) {
            throw new BundleException(name + " is a link, no plain file, or too large");
        }
        return Files.readAllBytes(path);
    }

    private static JsonObject json(String name, byte[] content) throws BundleException {
        try {
            return JsonParser.parseString(new String(content, StandardCharsets.UTF_8)).getAsJsonObject();
        } catch (JsonParseException | IllegalStateException error) {
            throw new BundleException(name + " is no JSON object: " + error.getMessage());
        }
    }

    private static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java has it
        }
    }
}
