"""What an answer over HTTP is: a success, a failure, a refusal, or the word of a peer that is not done."""
