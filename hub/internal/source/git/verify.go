package git

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

// verifyField is the field that names the Secret with public keys.
const verifyField = "spec.verify.secretRef"

// verified returns the mode and the keys of a verification with the present keys, without a message. If nothing has to
// be verified, verified returns the zero value.
func (f *fetching) verified() artifact.Verification {
	if f.spec.Verify == nil {
		return artifact.Verification{}
	}
	text, _ := json.Marshal(f.Secrets[verifyField]) // byte slices: marshalling them cannot fail
	return artifact.Verification{Mode: string(f.spec.Verify.GetMode()), Keys: manifest.DigestOf(text)}
}

// Errors of signatures.
var (
	ErrCommitSignature = &api.Failure{
		Reason: api.InvalidCommitSignature, Text: "the commit's signature is not accepted",
	}
	ErrTagSignature = &api.Failure{Reason: api.InvalidTagSignature, Text: "the tag's signature is not accepted"}
)

// verify checks the signatures of the chosen commit and tag. Errors are source.ErrVerification, ErrCommitSignature and
// ErrTagSignature; they name the key that signed.
func (f *fetching) verify(ctx context.Context, r *repository, chosen candidate) (artifact.Verification, error) {
	done := f.verified()
	if f.spec.Verify == nil {
		return done, nil
	}
	keys, err := readPublicKeys(f.Secrets[verifyField])
	if err != nil {
		return done, err
	}
	var signers []string
	if f.spec.Verify.VerifyTag() {
		signer, err := r.verifyTag(ctx, keys, chosen, f.spec.Ref)
		if err != nil {
			return done, err
		}
		signers = append(signers, fmt.Sprintf("tag '%s' with key '%s'", chosen.label, signer))
	}
	if f.spec.Verify.VerifyHEAD() {
		signer, err := r.verifyCommit(ctx, keys, chosen.commit)
		if err != nil {
			return done, err
		}
		signers = append(signers, fmt.Sprintf("commit '%s' with key '%s'", chosen.commit, signer))
	}
	done.Message = "verified signature of " + strings.Join(signers, ", ")
	return done, nil
}

func (r *repository) verifyCommit(ctx context.Context, keys publicKeys, id plumbing.Hash) (string, error) {
	content, err := r.read(ctx, plumbing.CommitObject, id, maxHeaders)
	if err != nil {
		return "", err
	}
	return keys.checkCommit(id, content)
}

// checkCommit returns the key that signed a commit.
func (k publicKeys) checkCommit(id plumbing.Hash, content []byte) (string, error) {
	o, err := splitCommit(content)
	if err != nil {
		return "", err
	}
	signer, err := k.check(o)
	if err != nil {
		return "", fmt.Errorf("%w: commit %s %w", ErrCommitSignature, id, err)
	}
	return signer, nil
}

// verifyTag checks the tag object that led to a commit. The name in a tag object is signed with it, so another name of
// the reference means that somebody gave an old tag a new name.
func (r *repository) verifyTag(ctx context.Context, keys publicKeys, c candidate, ref reference) (string, error) {
	if !ref.isTag() {
		return "", fmt.Errorf("%w: spec.verify.mode needs a tag: set spec.ref.tag, spec.ref.semver or a spec.ref.name of a "+
			"tag, or use the mode HEAD", source.ErrVerification)
	}
	if kind, _, err := r.objects.get(c.want); err != nil || kind != plumbing.TagObject {
		return "", fmt.Errorf("%w: tag %q has no tag object that could be signed (git tag -s makes one)",
			ErrTagSignature, c.label)
	}
	content, err := r.read(ctx, plumbing.TagObject, c.want, maxHeaders)
	if err != nil {
		return "", err
	}
	signer, err := keys.check(splitTag(content))
	if err != nil {
		return "", fmt.Errorf("%w: tag %q %w", ErrTagSignature, c.label, err)
	}
	if name := tagName(content); name != strings.TrimPrefix(c.label, tags) {
		return "", fmt.Errorf("%w: tag %q leads to a tag object that key %s signed as %q", ErrTagSignature, c.label,
			signer, name)
	}
	return signer, nil
}

// reads reports whether a push to another reference, by its full name, may change the commit that this one leads to.
func (r reference) reads(name string) bool {
	switch {
	case r.Commit != "":
		return false
	case r.Name != "":
		return r.Name == name
	case r.isTag():
		return strings.HasPrefix(name, tags)
	}
	return branches+r.branch() == name
}

// isTag reports whether the reference is a tag.
func (r reference) isTag() bool {
	switch {
	case r.Commit != "":
		return false
	case r.Name != "":
		return strings.HasPrefix(r.Name, tags)
	}
	return r.SemVer != "" || r.Tag != ""
}

// tagName returns the header "tag" of a tag object; empty if there is none where it has to be.
func tagName(content []byte) string {
	lines := bytes.SplitN(content, []byte("\n"), 4) // object, type, tag
	if len(lines) < 3 {
		return ""
	}
	name, _ := bytes.CutPrefix(lines[2], []byte("tag "))
	if len(name) == len(lines[2]) {
		return ""
	}
	return string(name)
}
