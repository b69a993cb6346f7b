package cachepolicy;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import ai.djl.inference.Predictor;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.Shape;
import ai.djl.translate.NoBatchifyTranslator;
import ai.djl.translate.TranslateException;
import ai.djl.translate.TranslatorContext;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;

/** A policy in one of DJL's engines, on one thread of the CPU. Not for use by several threads at once. */
final class Policy implements AutoCloseable {
    /** The network is small: more threads only wait for each other. The ONNX engine wants both or none. */
    private static final Map<String, String> OPTIONS =
            Map.of("mapLocation", "true", "interOpNumThreads", "1", "intraOpNumThreads", "1");

    private final Model model;
    private final Predictor<float[], float[]> predictor;

    private Policy(Model model, Predictor<float[], float[]> predictor) {
        this.model = model;
        this.predictor = predictor;
    }

    /**
     * Loads a policy.
     *
     * @param engine "PyTorch" or "OnnxRuntime"
     * @param folder of the bundle
     * @param file policy.pt or policy.onnx
     * @param features columns of a row
     */
    static Policy load(String engine, Path folder, String file, int features)
            throws IOException, MalformedModelException {
        Model model = Model.newInstance(file, Device.cpu(), engine);
        try {
            model.load(folder, file, OPTIONS);
            return new Policy(model, model.newPredictor(new Rows(features)));
        } catch (IOException | MalformedModelException | RuntimeException error) {
            model.close();
            throw error;
        }
    }

    /**
     * Returns the scores of rows of raw features.
     *
     * @param rows row by row, one row a candidate; of a decision on a miss one row
     * @return one score a candidate, or of a decision on a miss one an action
     */
    float[] scores(float[] rows) throws BundleException {
        try {
            return predictor.predict(rows);
        } catch (TranslateException error) {
            throw new BundleException("the policy cannot score its golden rows: " + error.getMessage());
        }
    }

    /** Returns the index of the highest score, the first of equals: the candidate to drop, or the action. */
    static int best(float[] scores) {
        int best = 0;
        for (int i = 1; i < scores.length; i++) {
            if (scores[i] > scores[best]) {
                best = i;
            }
        }
        return best;
    }

    @Override
    public void close() {
        predictor.close();
        model.close();
    }

    /** Rows go in as one array [n, features], scores come out flat. No other operation of the engine is needed. */
    private static final class Rows implements NoBatchifyTranslator<float[], float[]> {
        private final int features;

        Rows(int features) {
            this.features = features;
        }

        @Override
        public NDList processInput(TranslatorContext context, float[] rows) {
            Shape shape = new Shape(rows.length / features, features);
            return new NDList(context.getNDManager().create(rows, shape));
        }

        @Override
        public float[] processOutput(TranslatorContext context, NDList scores) {
            return scores.singletonOrThrow().toFloatArray();
        }
    }
}
