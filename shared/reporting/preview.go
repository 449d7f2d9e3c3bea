package reporting

// The actions in the answer to a preview. An object with any other action is refused.
const (
	Created    = "created"
	Configured = "configured"
	Recreated  = "recreated" // it would be deleted and made anew
)

// Mask stands for a value that must not leave the cluster.
const Mask = "***"

// Redacted stands for a value in a text that must not leave the cluster.
const Redacted = redactedPrefix + "]"

const redactedPrefix = "[redacted"
