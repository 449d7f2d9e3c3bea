// Package telemetry makes the logs (log/slog) and metrics (Prometheus) of Nave's programs, and serves the metrics over
// HTTP. The message of a log line is constant; all that varies is an attribute from this package.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// NewLogger returns a logger that writes lines as "json" or "text", of a level (debug, info, warn, error) and above. An
// empty format is text, an empty level info. Any other word is an error.
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

// Every log line of Nave names a thing by one of the following attributes and by no other key.

// Cluster names a cluster.
func Cluster(name string) slog.Attr { return slog.String("cluster", name) }

// Object names a Kubernetes object: a manifest.ID, an api.Key.
func Object(o fmt.Stringer) slog.Attr { return slog.Any("object", named{o}) }

// Application names an application by its owner.
func Application(owner fmt.Stringer) slog.Attr { return slog.Any("application", named{owner}) }

// Revision names a revision of a source.
func Revision(r string) slog.Attr { return slog.String("revision", r) }

// Digest names bytes.
func Digest(d fmt.Stringer) slog.Attr { return slog.Any("digest", named{d}) }

// Sequence is the number of a bundle.
func Sequence(n uint64) slog.Attr { return slog.Uint64("sequence", n) }

// Peer is the identity at the other end of a connection.
func Peer(id fmt.Stringer) slog.Attr { return slog.Any("peer", named{id}) }

// Address is a network address.
func Address(a string) slog.Attr { return slog.String("address", a) }

// Path is a path of the file system or of an artifact.
func Path(p string) slog.Attr { return slog.String("path", p) }

// Reason is a machine-readable word for why.
func Reason(r string) slog.Attr { return slog.String("reason", r) }

// Count is a number of things.
func Count(n int) slog.Attr { return slog.Int("count", n) }

// Duration is how long something took.
func Duration(d time.Duration) slog.Attr { return slog.Duration("duration", d) }

// Err is the error that a line is about; nil becomes an empty attribute, which handlers leave out.
func Err(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	return slog.String("err", err.Error())
}

// named defers String until a handler really writes the line.
type named struct{ fmt.Stringer }

// LogValue implements slog.LogValuer.
func (n named) LogValue() slog.Value { return slog.StringValue(n.String()) }
