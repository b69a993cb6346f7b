package cachepolicy;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;

/**
 * States with the scores and decisions that a policy gives which was loaded right.
 *
 * @param tolerance largest difference of a score
 * @param features columns of a row
 * @param inputs [state]: the rows of its candidates, or the one row of a miss, one after the other; null was NaN
 * @param scores [state][candidate], or [state][action] of a decision on a miss
 * @param decisions [state]: the candidate or action with the highest score, the first of equals
 */
record Golden(double tolerance, int features, float[][] inputs, float[][] scores, int[] decisions) {

    /** Reads golden.json. */
    static Golden of(JsonObject json) throws BundleException {
        JsonArray states = json.getAsJsonArray("inputs");
        JsonArray scores = json.getAsJsonArray("scores");
        JsonArray decisions = json.getAsJsonArray("decisions");
        int count = states.size();
        if (count == 0 || scores.size() != count || decisions.size() != count) {
            throw new BundleException("golden.json: its lists differ in length");
        }
        int features = states.get(0).getAsJsonArray().get(0).getAsJsonArray().size();
        Golden golden =
                new Golden(
                        json.get("tolerance").getAsDouble(),
                        features,
                        new float[count][],
                        new float[count][],
                        new int[count]);
        for (int i = 0; i < count; i++) {
            golden.inputs[i] = rows(states.get(i).getAsJsonArray(), features);
            golden.scores[i] = floats(scores.get(i).getAsJsonArray());
            golden.decisions[i] = decisions.get(i).getAsInt();
        }
        return golden;
    }

    /**
     * Checks that a policy gives these scores and decisions.
     *
     * @return the largest difference of a score
     */
    double check(Policy policy) throws BundleException {
        double largest = 0;
        for (int i = 0; i < inputs.length; i++) {
            float[] got = policy.scores(inputs[i]);
            if (got.length != scores[i].length) {
                throw new BundleException("golden.json: state " + i + " gets " + got.length + " scores");
            }
            for (int j = 0; j < got.length; j++) {
                double difference = Math.abs((double) got[j] - scores[i][j]);
                if (!(difference <= tolerance)) { // also when it is NaN
                    throw new BundleException(
                            "golden.json: state " + i + ", score " + j + " is " + got[j] + " instead of " + scores[i][j]);
                }
                largest = Math.max(largest, difference);
            }
            // Another decision is right only where the two scores are equal but for the tolerance.
            if ((double) scores[i][decisions[i]] - scores[i][Policy.best(got)] > 2 * tolerance) {
                throw new BundleException("golden.json: state " + i + " is decided otherwise");
            }
        }
        return largest;
    }

    private static float[] rows(JsonArray rows, int features) throws BundleException {
        float[] flat = new float[rows.size() * features];
        for (int row = 0; row < rows.size(); row++) {
            float[] values = floats(rows.get(row).getAsJsonArray());
            if (values.length != features) {
                throw new BundleException("golden.json: its rows differ in length");
            }
            System.arraycopy(values, 0, flat, row * features, features);
        }
        return flat;
    }

    private static float[] floats(JsonArray numbers) {
        float[] values = new float[numbers.size()];
        for (int i = 0; i < values.length; i++) {
            JsonElement number = numbers.get(i);
            values[i] = number.isJsonNull() ? Float.NaN : number.getAsFloat();
        }
        return values;
    }
}
