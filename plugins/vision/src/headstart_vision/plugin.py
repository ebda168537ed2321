"""headstart-vision: offers nothing yet; its parts come with the next releases."""
