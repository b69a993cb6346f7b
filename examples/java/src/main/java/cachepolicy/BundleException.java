package cachepolicy;

/** A bundle is incomplete or changed, or does not do what its golden rows say. */
public final class BundleException extends Exception {
    private static final long serialVersionUID = 1L;

    public BundleException(String message) {
        super(message);
    }
}
