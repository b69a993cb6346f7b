package cachepolicy;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.Map;
import java.util.TreeMap;

/** Canonical JSON, over which metadata.json records its own sha256: keys sorted, no white space, ASCII. */
final class CanonicalJson {
    private CanonicalJson() {}

    /** Returns {@code element} as canonical JSON; numbers stay as they were read. */
    static String of(JsonElement element) {
        StringBuilder text = new StringBuilder();
        append(text, element);
        return text.toString();
    }

    private static void append(StringBuilder text, JsonElement element) {
        if (element.isJsonObject()) {
            append(text, element.getAsJsonObject());
        } else if (element.isJsonArray()) {
            append(text, element.getAsJsonArray());
        } else if (element.isJsonPrimitive() && element.getAsJsonPrimitive().isString()) {
            appendString(text, element.getAsString());
        } else {
            text.append(element.isJsonNull() ? "null" : ((JsonPrimitive) element).getAsString());
        }
    }

    private static void append(StringBuilder text, JsonObject object) {
        Map<String, JsonElement> sorted = new TreeMap<>(CanonicalJson::compareCodePoints);
        object.entrySet().forEach(field -> sorted.put(field.getKey(), field.getValue()));
        String separator = "";
        text.append('{');
        for (Map.Entry<String, JsonElement> field : sorted.entrySet()) {
            text.append(separator);
            appendString(text, field.getKey());
            text.append(':');
            append(text, field.getValue());
            separator = ",";
        }
        text.append('}');
    }

    private static void append(StringBuilder text, JsonArray array) {
        String separator = "";
        text.append('[');
        for (JsonElement element : array) {
            text.append(separator);
            append(text, element);
            separator = ",";
        }
        text.append(']');
    }

    private static void appendString(StringBuilder text, String value) {
        text.append('"');
        for (char c : value.toCharArray()) {
            switch (c) {
                case '"' -> text.append("\\\"");
                case '\\' -> text.append("\\\\");
                case '\n' -> text.append("\\n");
                case '\r' -> text.append("\\r");
                case '\t' -> text.append("\\t");
                case '\b' -> text.append("\\b");
                case '\f' -> text.append("\\f");
                default -> text.append(c >= ' ' && c <= '~' ? String.valueOf(c) : String.format("\\u%04x", (int) c));
            }
        }
        text.append('"');
    }

    private static int compareCodePoints(String a, String b) {
        return java.util.Arrays.compare(a.codePoints().toArray(), b.codePoints().toArray());
    }
}
