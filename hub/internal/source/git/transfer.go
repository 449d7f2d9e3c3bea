package git

import (
	"bufio"
	"context"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// transfer fetches the objects that wants lead to into the cache: at depth 1, or with all of their history.
func (r *repository) transfer(ctx context.Context, s session, refs *packp.AdvRefs, wants []candidate, history bool,
	limits Limits, tmp string) error {
	request := r.request(refs.Capabilities, wants, history)
	answer, err := s.ask(ctx, upload{request})
	if err != nil {
		return err
	}
	defer answer.Close()
	response := packp.NewUploadPackResponse(request)
	if err := response.Decode(answer); err != nil {
		return err
	}
	file, err := os.CreateTemp(tmp, "pack-")
	if err != nil {
		return artifact.StorageError(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	n, err := spool(file, packStream(response, request), limits)
	if err != nil {
		return err
	}
	if err := r.install(ctx, file, n, limits); err != nil {
		return err
	}
	if history { // the tips are not remembered: the history is needed only once
		return r.save()
	}
	return r.remember(ctx, wants, !request.Depth.IsZero())
}

// upload is the request of a fetch. A stateful connection needs a flush after the haves.
type upload struct{ *packp.UploadPackRequest }

func (u upload) write(w io.Writer, stateful bool) error {
	if err := u.UploadRequest.Encode(w); err != nil {
		return err
	}
	if err := u.UploadHaves.Encode(w, stateful); err != nil {
		return err
	}
	return pktline.NewEncoder(w).EncodeString("done\n")
}

// request returns the request for wants, with the commits that the cache has. Commits without their history are also
// named as shallow; otherwise the server would leave out objects of that history.
func (r *repository) request(server *capability.List, wants []candidate, history bool) *packp.UploadPackRequest {
	request := packp.NewUploadPackRequest()
	supported := func(c capability.Capability, values ...string) bool {
		return server.Supports(c) && request.Capabilities.Set(c, values...) == nil
	}
	if !supported(capability.Sideband64k) {
		supported(capability.Sideband)
	}
	supported(capability.OFSDelta)
	supported(capability.NoProgress)
	supported(capability.Agent, userAgent)
	for _, w := range wants {
		request.Wants = append(request.Wants, w.want)
	}
	if history || !supported(capability.Shallow) {
		return request // a search of the whole history is rare, so it starts from an empty cache
	}
	request.Depth = packp.DepthCommits(1)
	if r.mayBeThin() {
		supported(capability.ThinPack) // without it, git sends the whole tree of a shallow commit
	}
	for _, t := range r.state.Tips {
		commit := plumbing.NewHash(t.Commit)
		request.Haves = append(request.Haves, commit)
		if t.Shallow {
			request.Shallows = append(request.Shallows, commit)
		}
	}
	return request
}

// mayBeThin reports whether deltas of the next pack may change objects that only the cache has.
func (r *repository) mayBeThin() bool { return len(r.state.Tips) > 0 }

// packStream returns the pack without the frames of the protocol.
func packStream(response io.Reader, request *packp.UploadPackRequest) io.Reader {
	switch {
	case request.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, response)
	case request.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, response)
	default:
		return response
	}
}

// spool writes the pack to a file and returns its length in bytes. More than limits.Pack are artifact.ErrLimit.
func spool(file *os.File, pack io.Reader, limits Limits) (int64, error) {
	w := bufio.NewWriterSize(file, 64<<10)
	n, err := io.Copy(w, artifact.Bound(pack, limits.Pack, "the transfer"))
	if err != nil {
		return n, err
	}
	return n, w.Flush()
}

// remember records that the cache has everything that wants lead to.
func (r *repository) remember(ctx context.Context, wants []candidate, shallow bool) error {
	for _, w := range wants {
		commit, err := r.commitOf(ctx, w.want)
		if err != nil {
			return w.named(err)
		}
		r.state.Tips = append(r.state.Tips, tip{w.want.String(), commit.String(), shallow})
	}
	return r.save()
}
