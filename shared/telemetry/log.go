// Package telemetry is how Nave's programs tell what they do: logs (log/slog), metrics (Prometheus) and the HTTP
// endpoints that serve them. Messages are constant; what varies is an attribute made by this package.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// NewLogger returns a logger that writes "json" or "text" lines from the given level on (debug, info, warn, error).
// Empty words mean text and info.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if level != "" {
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
		}
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text", "":
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q: want json or text", format)
}

// Discard returns a logger that writes nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Keys of the attributes. Every log line of Nave names a thing by one of these and nothing else.
const (
	KeyCluster  = "cluster"
	KeyObject   = "object"
	KeyOwner    = "application"
	KeyRevision = "revision"
	KeyDigest   = "digest"
	KeySequence = "sequence"
	KeyPeer     = "peer"
	KeyAddress  = "address"
	KeyPath     = "path"
	KeyReason   = "reason"
	KeyCount    = "count"
	KeyDuration = "duration"
	KeyErr      = "err"
)

// Cluster names a cluster.
func Cluster(name string) slog.Attr { return slog.String(KeyCluster, name) }

// Object names a Kubernetes object: a manifest.ID, an api.Key.
func Object(o fmt.Stringer) slog.Attr { return slog.Any(KeyObject, named{o}) }

// Application names an application by its owner.
func Application(owner fmt.Stringer) slog.Attr { return slog.Any(KeyOwner, named{owner}) }

// Revision names a revision of a source.
func Revision(r string) slog.Attr { return slog.String(KeyRevision, r) }

// Digest names bytes.
func Digest(d fmt.Stringer) slog.Attr { return slog.Any(KeyDigest, named{d}) }

// Sequence is the number of a bundle.
func Sequence(n uint64) slog.Attr { return slog.Uint64(KeySequence, n) }

// Peer is the identity at the other end of a connection.
func Peer(id fmt.Stringer) slog.Attr { return slog.Any(KeyPeer, named{id}) }

// Address is a network address.
func Address(a string) slog.Attr { return slog.String(KeyAddress, a) }

// Path is a path of the file system or of an artifact.
func Path(p string) slog.Attr { return slog.String(KeyPath, p) }

// Reason is a machine-readable word for why.
func Reason(r string) slog.Attr { return slog.String(KeyReason, r) }

// Count is a number of things.
func Count(n int) slog.Attr { return slog.Int(KeyCount, n) }

// Duration is how long something took.
func Duration(d time.Duration) slog.Attr { return slog.Duration(KeyDuration, d) }

// Err is the error that a line is about; nil becomes an empty attribute, which handlers leave out.
func Err(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	return slog.String(KeyErr, err.Error())
}

// named defers String until a handler really writes the line.
type named struct{ fmt.Stringer }

// LogValue implements slog.LogValuer.
func (n named) LogValue() slog.Value {
	if n.Stringer == nil {
		return slog.StringValue("")
	}
	return slog.StringValue(n.String())
}
