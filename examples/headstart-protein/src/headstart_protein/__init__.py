"""headstart-protein: proteins for headstart, built on its public interface alone."""
