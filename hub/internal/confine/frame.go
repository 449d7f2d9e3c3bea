package confine

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The first byte of a frame that answers a request.
const (
	answered = 0
	failed   = 1
)

// maxMessage is how many bytes of the text of an error cross the pipe: it may quote what the process works on, and must
// not be too large for the frame.
const maxMessage = 16 << 10

// Named is an error with a name that crosses the pipe: errors.As finds the same name on both sides.
type Named interface {
	error
	FailureName() string
}

// failure is an error in a frame.
type failure struct {
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"` // the text of one of Config.Reasons, or of ErrOutput
	Name    string `json:"name,omitempty"`   // of the first Named
	Answer  []byte `json:"answer,omitempty"` // beside the error
}

// remoteError is an error that a confined process reported. It is a Named, with an empty name if the error in the
// process was none.
type remoteError struct {
	message, name string
	reason        error
}

func isRemote(err error) bool {
	var remote *remoteError
	return errors.As(err, &remote)
}

func (e *remoteError) Error() string       { return e.message }
func (e *remoteError) Unwrap() error       { return e.reason }
func (e *remoteError) FailureName() string { return e.name }

// writeAnswer writes the frame for an answer or an error.
func writeAnswer(w io.Writer, answer []byte, err error, reasons []error, limit int64) error {
	if int64(len(answer)) >= limit/2 && (err != nil || int64(len(answer)) >= limit) { // a failure encodes it
		err, answer = cmp.Or(err, fmt.Errorf("%w: %d bytes, the limit is %d", ErrOutput, len(answer), limit)), nil
	}
	if err == nil {
		return writeFrame(w, []byte{answered}, answer)
	}
	f := failure{Message: begin(err.Error(), maxMessage), Answer: answer}
	if named := Named(nil); errors.As(err, &named) {
		f.Name = named.FailureName()
	}
	for _, reason := range append([]error{ErrOutput}, reasons...) {
		if errors.Is(err, reason) {
			f.Reason = reason.Error()
			break
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode failure: %w", err)
	}
	return writeFrame(w, []byte{failed}, text)
}

// begin returns at most the first n bytes of a text, and says if there are more.
func begin(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

// decodeAnswer decodes the content of a frame that answers a request. An error that the process reports is a
// *remoteError; every other error says that the content is neither an answer nor a failure.
func decodeAnswer(content []byte, reasons []error) ([]byte, error) {
	switch {
	case len(content) > 0 && content[0] == answered:
		return content[1:], nil
	case len(content) > 0 && content[0] == failed:
		var f failure
		if err := json.Unmarshal(content[1:], &f); err != nil {
			return nil, fmt.Errorf("decode answer: %w", err)
		}
		remote := &remoteError{message: f.Message, name: f.Name}
		for _, reason := range append([]error{ErrOutput}, reasons...) {
			if reason.Error() == f.Reason {
				remote.reason = reason
			}
		}
		return f.Answer, remote
	default:
		return nil, errors.New("decode answer: it is neither an answer nor a failure")
	}
}

// writeFrame writes one frame, whose content is the parts one after the other.
func writeFrame(w io.Writer, parts ...[]byte) error {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(size))
	for _, part := range append([][]byte{head}, parts...) {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write frame: %w", err)
		}
	}
	return nil
}

// readFrame returns the content of one frame. More than limit bytes are ErrOutput; io.EOF means that there is no frame.
func readFrame(r io.Reader, limit int64) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrOutput, size, limit)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	return payload, nil
}
