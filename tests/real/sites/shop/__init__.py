"""A shop with all that makes a page one visitor's own: cart, login, messages, language, cookies of advertising."""
