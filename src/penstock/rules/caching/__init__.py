"""What a shared HTTP cache decides (RFC 9111): bytes of fields in, decisions out, each with the clause it rests on."""
