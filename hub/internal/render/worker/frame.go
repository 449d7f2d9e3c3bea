package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/shared/manifest"
)

// maxRequest is a limit on the bytes of one request.
const maxRequest = 32 << 20

// ErrOutput is a build whose result is over the limit.
var ErrOutput = errors.New("the result is too large")

// response is what a worker answers. Error is empty when the build succeeded.
type response struct {
	Error   string            `json:"error,omitempty"`
	Reason  string            `json:"reason,omitempty"` // a key of reasons
	Objects []json.RawMessage `json:"objects,omitempty"`
	Sealed  []seal.File       `json:"sealed,omitempty"`
	Reads   kustomize.Reads   `json:"reads"`
}

// reasons are the errors of a build that callers tell apart, so that errors.Is holds across the pipe.
var reasons = map[string]error{
	"not-found":    kustomize.ErrNotFound,
	"limit":        kustomize.ErrLimit,
	"remote":       kustomize.ErrRemote,
	"escape":       kustomize.ErrEscape,
	"duplicate":    kustomize.ErrDuplicate,
	"incomplete":   kustomize.ErrIncomplete,
	"encrypted":    kustomize.ErrEncrypted,
	"large":        kustomize.ErrLarge,
	"substitution": kustomize.ErrSubstitution,
	"inspected":    kustomize.ErrInspected,
	"format":       seal.ErrFormat,
	"malformed":    seal.ErrMalformed,
	"too-large":    seal.ErrTooLarge,
	"output":       ErrOutput,
}

// buildError is an error of a build that a worker reported.
type buildError struct {
	message string
	reason  error
}

func (e *buildError) Error() string { return e.message }
func (e *buildError) Unwrap() error { return e.reason }

// failure is the response for an error.
func failure(err error) *response {
	r := &response{Error: err.Error()}
	for name, reason := range reasons {
		if errors.Is(err, reason) {
			r.Reason = name
		}
	}
	return r
}

// success is the response for a result.
func success(result *kustomize.Result) (*response, error) {
	r := &response{Objects: make([]json.RawMessage, len(result.Objects)), Sealed: result.Sealed, Reads: result.Reads}
	for i, o := range result.Objects {
		data, err := manifest.Canonical(o)
		if err != nil {
			return nil, err
		}
		r.Objects[i] = data
	}
	return r, nil
}

// result returns what the response says.
func (r *response) result() (*kustomize.Result, error) {
	if r.Error != "" {
		return nil, &buildError{r.Error, reasons[r.Reason]}
	}
	result := &kustomize.Result{Objects: make([]*manifest.Object, len(r.Objects)), Sealed: r.Sealed, Reads: r.Reads}
	for i, data := range r.Objects {
		var fields map[string]any
		if err := utiljson.Unmarshal(data, &fields); err != nil {
			return nil, fmt.Errorf("render worker: object %d: %w", i, err)
		}
		result.Objects[i] = &manifest.Object{Object: fields}
	}
	return result, nil
}

// writeFrame writes one frame.
func writeFrame(w io.Writer, payload []byte) error {
	frame := make([]byte, 4, 4+len(payload))
	binary.BigEndian.PutUint32(frame, uint32(len(payload)))
	if _, err := w.Write(append(frame, payload...)); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// readFrame reads one frame of at most limit bytes. It returns io.EOF when there is none.
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
