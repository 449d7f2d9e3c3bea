package kustomize

import (
	"cmp"
	"maps"
	"regexp"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// remoteError is an error whose text has the addresses of Remotes in place of the paths at which they are mounted.
type remoteError struct {
	text  string
	cause error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.cause }

// explain returns an error with the addresses of the mounted Remotes that it names. If a URL could also mean a
// directory, the error says that it is taken for a file. Without such a name, explain returns err.
func (r *remotes) explain(err error) error {
	if err == nil {
		return nil
	}
	text, taken := err.Error(), ""
	byAddress := func(a, b api.Remote) int { return cmp.Compare(a.ID(), b.ID()) }
	for _, remote := range slices.SortedFunc(maps.Keys(r.mounts), byAddress) {
		end, address := "/", remote.String()+"//"
		if remote.File {
			end, address = "/"+api.RemoteFile, remote.String()
		}
		at := regexp.MustCompile(`(?:(?:\.\./)+|/)?` + regexp.QuoteMeta(tree.Local(r.mounts[remote])+end))
		named := at.ReplaceAllLiteralString(text, address)
		if named != text && remote.File && !hasManifestName(remote.URL) {
			taken += "; " + address + " is taken for a single file: for a directory of a repository, write its path after //"
		}
		text = named
	}
	if text += taken; text == err.Error() {
		return err
	}
	return &remoteError{text, err}
}
