import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.StringJoiner;

/**
 * Writes java_sum.json: what Java's DoubleStream.sum makes of doubles, narrowed to float, as Elasticsearch's WeightedSum does.
 *
 *     java tests/golden/JavaSum.java 2026-11-21 > tests/golden/java_sum.json
 */
public class JavaSum {
    public static void main(String[] arguments) {
        Random random = new Random(7);
        List<double[]> cases = new ArrayList<>();
        cases.add(new double[] {1e16, 1, 1, -1e16});
        cases.add(new double[] {1, 1e100, 1, -1e100});
        cases.add(new double[] {0.1, 0.2, 0.3, -0.6});
        for (int size : new int[] {1, 5, 20, 60}) {
            double[] values = new double[size];
            for (int at = 0; at < size; at++) values[at] = random.nextGaussian() * Math.pow(10, random.nextInt(9) - 4);
            cases.add(values);
            // Nearly cancelled, so that what rounding leaves is the result.
            double[] twice = Arrays.copyOf(values, 2 * size);
            for (int at = 0; at < size; at++) twice[size + at] = -values[at * 7 % size] * (1 + 1e-15 * random.nextInt(9));
            cases.add(twice);
        }
        StringJoiner lines = new StringJoiner(",\n");
        for (double[] values : cases) {
            StringJoiner joined = new StringJoiner(", ");
            for (double value : values) joined.add(Double.toString(value));
            double sum = Arrays.stream(values).sum();
            lines.add("  {\"values\": [" + joined + "], \"sum\": " + sum + ", \"narrowed\": " + (float) sum + "}");
        }
        System.out.println("{\n \"tool\": \"Java DoubleStream.sum\",\n \"version\": \"" + Runtime.version() + "\",");
        System.out.println(" \"command\": \"java tests/golden/JavaSum.java DATE\",\n \"date\": \"" + arguments[0] + "\",");
        System.out.println(" \"cases\": [\n" + lines + "\n ]\n}");
    }
}
