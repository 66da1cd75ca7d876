"""What can be shown about the rig without a socket."""
