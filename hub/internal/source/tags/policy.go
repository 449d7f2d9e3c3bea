package tags

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/registry"
	"github.com/navefleet/nave/shared/wording"
)

const (
	imageFile = "image"  // the one file in the artifact of an ImagePolicy
	maxList   = 16 << 20 // bytes of the list of tags
)

// Policies fetches ImagePolicies: it chooses one of the tags that the ImageRepository found, and asks the registry for
// the digest of the image if the policy wants one. The revision of the artifact is the image.
type Policies struct{ connections registry.Connections }

var _ source.Fetcher = (*Policies)(nil)

// Fetch implements source.Fetcher.
func (f *Policies) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	p := &policy{Request: r, connections: &f.connections}
	a, err := p.run(ctx)
	if err != nil {
		return artifact.Artifact{}, source.Classify(err, p.Classify)
	}
	return a, nil
}

// policy is one fetch.
type policy struct {
	source.Request
	registry.Access
	connections *registry.Connections

	object     *imagev1.ImagePolicy
	repository *imagev1.ImageRepository
	rule       image.Rule
}

// run chooses the image and makes the artifact.
func (p *policy) run(ctx context.Context) (a artifact.Artifact, err error) {
	if err := p.decode(); err != nil {
		return a, err
	}
	tags, err := read(ctx, p.Workspace, p.Inputs[0])
	if err != nil {
		return a, err
	}
	choice, err := p.rule.Choose(tags)
	if err != nil {
		return a, &api.Failure{Reason: api.PolicyFailed, Text: err.Error()}
	}
	chosen := image.Reference{Name: p.repository.Spec.Image, Tag: choice.Tag}
	if chosen.Digest, err = p.digest(ctx, chosen); err != nil {
		return a, fmt.Errorf("digest of %s: %w", chosen, source.Classify(err, p.Classify))
	}
	return p.put(ctx, chosen, tags, p.notice(choice))
}

// decode reads the objects.
func (p *policy) decode() (err error) {
	if p.Upstream == nil || len(p.Inputs) != 1 {
		return fmt.Errorf("%w: the request has no list of tags", source.ErrRequest)
	}
	if p.object, err = api.Decode[imagev1.ImagePolicy](p.Object); err != nil {
		return fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	if p.repository, err = api.Decode[imagev1.ImageRepository](p.Upstream); err != nil {
		return fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	p.rule = api.PolicyRule(p.object)
	p.rule.Pinned, p.rule.Excluded = p.TagControl.Pinned, p.TagControl.Excluded
	return nil
}

// In returns a function that reads the tags from the artifact of an ImageRepository. dir is the folder of artifacts.
func In(dir string) func(context.Context, artifact.Artifact) ([]string, error) {
	return func(ctx context.Context, a artifact.Artifact) ([]string, error) {
		return read(ctx, artifact.Workspace{Dir: dir}, a)
	}
}

// read reads the list of tags from the artifact of an ImageRepository.
func read(ctx context.Context, w artifact.Workspace, a artifact.Artifact) ([]string, error) {
	files, err := w.Files(a)
	if err != nil {
		return nil, err
	}
	if len(files) != 1 || files[0].Path != registry.TagFile {
		return nil, fmt.Errorf("%w: the list of tags has %s", artifact.ErrStorage, wording.Count(len(files), "file"))
	}
	content, err := w.ReadFile(ctx, a, files[0], maxList)
	return registry.ParseTags(content), err
}

// digest returns the digest of an image, as the policy reflects it; empty: the policy does not.
func (p *policy) digest(ctx context.Context, chosen image.Reference) (string, error) {
	switch p.object.GetDigestReflectionPolicy() {
	case imagev1.ReflectAlways:
		return p.ask(ctx, chosen)
	case imagev1.ReflectIfNotPresent:
		if last := p.last(); last.Name == chosen.Name && last.Tag == chosen.Tag && last.Digest != "" {
			return last.Digest, nil
		}
		return p.ask(ctx, chosen)
	}
	return "", nil
}

// last returns the image that was chosen before; zero: none.
func (p *policy) last() image.Reference {
	if p.Last == nil {
		return image.Reference{}
	}
	return image.ParseReference(p.Last.Revision)
}

// ask asks the registry for the digest of an image, which costs no pull.
func (p *policy) ask(ctx context.Context, chosen image.Reference) (digest string, err error) {
	p.Insecure = p.repository.Spec.Insecure
	p.ID = p.CacheID(api.ImageURL(chosen.Name, p.Insecure))
	var options []name.Option
	if p.Insecure {
		options = append(options, name.Insecure)
	}
	if p.Repository, err = name.NewRepository(chosen.Name, options...); err != nil {
		return "", fmt.Errorf("%w: spec.image: %w", source.ErrRequest, err)
	}
	if err := p.Connect(ctx, p.Request, p.connections); err != nil {
		return "", err
	}
	defer p.Close()
	found, err := p.Puller.Head(ctx, p.Repository.Tag(chosen.Tag))
	if err != nil {
		p.connections.Drop(p.ID) // the next fetch logs in again
		return "", err
	}
	return found.Digest.String(), nil
}

// notice returns what the user should know of a choice.
func (p *policy) notice(c image.Choice) string {
	var notices []string
	if n := len(c.Tied); n > 0 {
		notices = append(notices, fmt.Sprintf("which is equal by the policy to %s and the last of them in the order of bytes",
			wording.List(c.Tied, n, named)))
	}
	if missing := p.Inputs[0].Notice; missing != "" && p.rule.Pinned == "" {
		notices = append(notices, "of the tags that were found "+missing)
	}
	if tags := p.rule.Floating(); tags != nil && p.object.GetDigestReflectionPolicy() != imagev1.ReflectAlways {
		notices = append(notices, floatingNotice(tags))
	}
	return strings.Join(notices, "; ")
}

// floatingNotice says that a policy can choose only some tags.
func floatingNotice(tags []string) string {
	const advice = "set spec.digestReflectionPolicy to Always"
	if len(tags) == 1 {
		return fmt.Sprintf("the policy can choose no other tag than %q, so a push to this tag updates nothing: %s", tags[0],
			advice)
	}
	return fmt.Sprintf("the policy can choose no other tags than %s, so another push to the chosen one updates nothing: "+
		"%s", wording.List(tags, len(tags), len(tags)), advice)
}

// put makes the artifact of an image that was chosen among tags.
func (p *policy) put(ctx context.Context, chosen image.Reference, tags []string, notice string) (a artifact.Artifact,
	err error) {
	previous := p.last()
	if p.IsLast(chosen.String(), artifact.Verification{}) {
		a, previous = *p.Last, previousOf(*p.Last)
	} else {
		a, err = p.PutFiles(ctx, p.CacheID(p.Inputs[0].Dir), chosen.String(), map[string][]byte{
			imageFile: []byte(chosen.String() + "\n"),
		})
		if err != nil {
			return a, err
		}
		a.Summary = summary(chosen, previous, tags)
	}
	a.Notice = notice
	a.Status, err = statusOf(chosen, previous)
	return a, err
}

// summary returns Flux's message of an ImagePolicy. It also says if the previous tag is not there any more, because
// then the chosen one may be an older version.
func summary(chosen, previous image.Reference, tags []string) string {
	text := fmt.Sprintf("Latest image tag for %s resolved to %s", chosen.Name, chosen.Tag)
	if chosen.Digest != "" {
		text += " with digest " + chosen.Digest
	}
	switch {
	case previous.Name == "":
	case previous.Name == chosen.Name && !slices.Contains(tags, previous.Tag):
		text += fmt.Sprintf(" (previously %s, which is no longer among the tags)", previous)
	default:
		text += fmt.Sprintf(" (previously %s)", previous)
	}
	return text
}

// statusOf returns the fields of Flux's ImagePolicyStatus, as the JSON of an object.
func statusOf(chosen, previous image.Reference) (string, error) {
	status := map[string]any{"latestRef": imagev1.ImageRef{Name: chosen.Name, Tag: chosen.Tag, Digest: chosen.Digest}}
	if previous.Name != "" {
		status["observedPreviousRef"] = imagev1.ImageRef{Name: previous.Name, Tag: previous.Tag, Digest: previous.Digest}
	}
	text, err := json.Marshal(status)
	return string(text), err
}

// previousOf returns the image that was chosen before that of an artifact; zero: none.
func previousOf(a artifact.Artifact) image.Reference {
	var status imagev1.ImagePolicyStatus
	if json.Unmarshal([]byte(a.Status), &status) != nil || status.ObservedPreviousRef == nil {
		return image.Reference{}
	}
	ref := status.ObservedPreviousRef
	return image.Reference{Name: ref.Name, Tag: ref.Tag, Digest: ref.Digest}
}
