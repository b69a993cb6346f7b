package cachepolicy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;

/** Checks a bundle, then its policy in DJL's PyTorch engine and in its ONNX engine, and measures both. */
public final class Main {
    private static final double SECONDS = 2;

    private Main() {}

    /** Takes the folder of a bundle. Exit status: 0 it is right, 1 it is not, 2 bad usage. */
    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            System.err.println("usage: java -jar cache-policy.jar BUNDLE");
            System.exit(2);
        }
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "warn");
        System.setProperty("ai.djl.pytorch.num_threads", "1");
        System.setProperty("ai.djl.pytorch.num_interop_threads", "1");
        try {
            run(Path.of(arguments[0]));
        } catch (BundleException | IOException error) {
            System.err.println("error: " + error.getMessage());
            System.exit(1);
        }
    }

    private static void run(Path folder) throws Exception {
        Bundle bundle = Bundle.read(folder);
        System.out.println("bundle  " + bundle.sha256() + ", decision " + bundle.decision());
        check("PyTorch", bundle, Bundle.POLICY);
        check("OnnxRuntime", bundle, Bundle.ONNX);
    }

    private static void check(String engine, Bundle bundle, String file) throws Exception {
        Golden golden = bundle.golden();
        try (Policy policy = Policy.load(engine, bundle.folder(), file, golden.features())) {
            double largest = golden.check(policy);
            decisionsPerSecond(policy, golden); // to warm up
            System.out.printf(
                    Locale.ROOT,
                    "%-12s %d states as recorded, largest difference %.2g (tolerance %.2g); %.0f decisions a second%n",
                    engine,
                    golden.inputs().length,
                    largest,
                    golden.tolerance(),
                    decisionsPerSecond(policy, golden));
        }
    }

    /** Measures one thread that decides one state after the other. */
    private static double decisionsPerSecond(Policy policy, Golden golden) throws BundleException {
        long start = System.nanoTime();
        long decisions = 0;
        double seconds = 0;
        while (seconds < SECONDS) {
            for (float[] rows : golden.inputs()) {
                Policy.best(policy.scores(rows));
                decisions++;
            }
            seconds = (System.nanoTime() - start) / 1e9;
        }
        return decisions / seconds;
    }
}
