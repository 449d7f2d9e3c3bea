package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
)

// header is the first part of a response: the length of its JSON as a uvarint, and the JSON. The objects follow it, one
// after the other, so that the hub need not parse those that it knows.
type header struct {
	Sizes        []int                `json:"sizes,omitempty"` // bytes of each object
	Places       map[int]*api.Place   `json:"places,omitempty"`
	Sealed       []render.SealedFile  `json:"sealed,omitempty"`
	Substitution *bundle.Substitution `json:"substitution,omitempty"`
	Reads        render.Reads         `json:"reads"`
	Needs        []render.Need        `json:"needs,omitempty"`
	// Release has its objects in itself: it has few, and the hub reads each of them.
	Release *render.Release `json:"release,omitempty"`
}

var errResponse = errors.New("render worker: malformed response")

// encode returns the bytes of a result.
func encode(result *render.Result) ([]byte, error) {
	objects, err := result.Encode()
	if err != nil {
		return nil, err
	}
	h := header{
		Sealed: result.Sealed, Substitution: result.Substitution, Reads: result.Reads, Needs: result.Needs,
		Release: result.Release, Places: result.Places,
	}
	total := 0
	for _, data := range objects {
		h.Sizes = append(h.Sizes, len(data))
		total += len(data)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	out := make([]byte, 0, binary.MaxVarintLen64+len(text)+total)
	out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
	for _, data := range objects {
		out = append(out, data...)
	}
	return out, nil
}

// decode returns the result that encode encoded, with Encoded in place of Objects.
func decode(answer []byte) (*render.Result, error) {
	size, n := binary.Uvarint(answer)
	if n <= 0 || size > uint64(len(answer)-n) {
		return nil, errResponse
	}
	text, rest := answer[n:n+int(size)], answer[n+int(size):]
	var h header
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("%w: %w", errResponse, err)
	}
	result := &render.Result{
		Encoded: make([][]byte, len(h.Sizes)), Sealed: h.Sealed, Substitution: h.Substitution, Reads: h.Reads,
		Needs: h.Needs, Release: h.Release, Places: h.Places,
	}
	for i, size := range h.Sizes {
		if size < 0 || size > len(rest) {
			return nil, fmt.Errorf("%w: object %d", errResponse, i)
		}
		result.Encoded[i], rest = rest[:size:size], rest[size:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the objects", errResponse, len(rest))
	}
	return result, nil
}
