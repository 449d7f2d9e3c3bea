package forge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Action is what Sync did with a pull request.
type Action string

// The actions.
const (
	Opened  Action = "opened"
	Updated Action = "updated"
	Kept    Action = "kept"
	Closed  Action = "closed"
)

// Result is a pull request after a Sync, and what was done with it.
type Result struct {
	PullRequest
	Action Action
	// Warning says what could not be set of a request that was opened: labels, reviewers. Sync does not try again, because
	// these belong to people once the request is there.
	Warning string
}

// Requests are the open pull requests into a branch, as an owner sees them, and those that people have closed, from the
// heads that Ask was called for.
type Requests struct {
	forge  Forge
	owner  Owner
	base   string
	open   []PullRequest
	closed map[string][]PullRequest // by head
}

// Owner is whose requests are kept as they should be.
type Owner struct {
	Name string // without spaces and @
	// Branch is the name, or the template, of the heads. Requests of an owner of this name from other ones may be those of
	// another hub.
	Branch string
	// Had reports whether the owner had a request when Branch was another one; nil: it is not known of any.
	Had func(PullRequest) bool
}

// mark returns the text by which the owner knows a request for something.
func (o Owner) mark(purpose string) string {
	name := o.Name
	if o.Branch != "" {
		name += "@" + url.PathEscape(o.Branch)
	}
	return markBefore + strings.TrimSpace(name+" "+purpose) + markBehind
}

// owns reports whether a request is the owner's, and returns what the request is for.
func (o Owner) owns(r PullRequest) (purpose string, isOwn bool) {
	mark, ok := strings.CutPrefix(lastLine(r.Body), markBefore)
	mark, ends := strings.CutSuffix(mark, markBehind)
	by, purpose, _ := strings.Cut(mark, " ")
	name, branch, _ := strings.Cut(by, "@")
	isSame := branch == url.PathEscape(o.Branch) || o.Had != nil && o.Had(r)
	return purpose, ok && ends && name == o.Name && isSame
}

// Find lists the open requests into base.
func Find(ctx context.Context, f Forge, owner Owner, base string) (*Requests, error) {
	open, err := f.List(ctx, Search{Base: base})
	if err != nil {
		return nil, fmt.Errorf("list the pull requests into %s: %w", base, err)
	}
	return &Requests{f, owner, base, open, map[string][]PullRequest{}}, nil
}

// Unasked returns the heads that Ask has to be called for before Declined.
func (q *Requests) Unasked(heads []string) (unasked []string) {
	for _, head := range heads {
		if _, asked := q.closed[head]; !asked && q.find(head) < 0 {
			unasked = append(unasked, head)
		}
	}
	return unasked
}

// Ask lists what people have closed of some heads, in as few calls as the server allows.
func (q *Requests) Ask(ctx context.Context, heads []string) error {
	closed, err := q.forge.List(ctx, Search{Base: q.base, Heads: heads, Declined: true})
	if err != nil && !errors.Is(err, artifact.ErrLimit) { // the newest ones are there
		return fmt.Errorf("list the closed pull requests into %s: %w", q.base, err)
	}
	for _, head := range heads {
		q.closed[head] = nil
	}
	for _, r := range closed {
		q.closed[r.Head] = append(q.closed[r.Head], r)
	}
	return nil
}

// Declined returns the request by which people have declined a proposal: one for the same changes that they closed
// without merging it. If there is none, or one is open for the head, Declined returns false.
func (q *Requests) Declined(p Proposal) (PullRequest, bool) {
	if q.find(p.Head) >= 0 {
		return PullRequest{}, false
	}
	for _, r := range q.closed[p.Head] {
		if changesOf(r.Body) == changesLine(p.Changes) {
			return r, true
		}
	}
	return PullRequest{}, false
}

// find returns the index of the open request with a head, or -1.
func (q *Requests) find(head string) int {
	return slices.IndexFunc(q.open, func(r PullRequest) bool { return r.Head == head })
}

// Sync makes the open requests, as far as they belong to the owner, what the proposals say. A proposal is a request by
// its head: one that somebody else has opened for the head is left as it is. A request of the owner that no proposal is
// for is closed, and a comment says why, unless what it is for is kept, or is proposed in vain. If some fail, the
// others are still carried out, but not if the server asks to wait or does not answer.
func (q *Requests) Sync(ctx context.Context, proposals []Proposal, keep ...string) (results []Result, err error) {
	var errs []error
	var heads []string
	instead := map[string]string{} // Proposal.For → URL
	for _, p := range proposals {
		p = fit(q.forge, q.owner, p)
		heads = append(heads, p.Head)
		r, err := q.carryOut(ctx, p)
		if isAway(err) {
			return results, errors.Join(append(errs, err)...)
		}
		if err != nil {
			errs = append(errs, err)
			keep = append(keep, p.For) // until there is another one in its place
			continue
		}
		results = append(results, r)
		instead[p.For] = r.URL
	}
	for _, r := range q.open {
		purpose, isOwn := q.owner.owns(r)
		if !isOwn || slices.Contains(heads, r.Head) || slices.Contains(keep, purpose) {
			continue
		}
		closed, err := q.close(ctx, r, instead[purpose])
		if isAway(err) {
			return results, errors.Join(append(errs, err)...)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		results = append(results, closed)
	}
	return results, errors.Join(errs...)
}

// isAway reports whether further calls would fail, too.
func isAway(err error) bool {
	_, busy := errors.AsType[*source.BusyError](err)
	return busy || errors.Is(err, source.ErrTimeout)
}

// carryOut makes the request of one proposal what it should be.
func (q *Requests) carryOut(ctx context.Context, p Proposal) (Result, error) {
	if at := q.find(p.Head); at >= 0 {
		return q.update(ctx, q.open[at], p)
	}
	made, err := q.forge.Create(ctx, p)
	if err == nil && (made.ID <= 0 || made.Head != p.Head) {
		err = fmt.Errorf("%w: the server answers without the request", source.ErrProtocol)
	}
	if err != nil {
		return Result{}, fmt.Errorf("open a pull request from %s into %s: %w", p.Head, p.Base, err)
	}
	r := Result{PullRequest: made, Action: Opened}
	if err := q.forge.Adorn(ctx, made, p); err != nil {
		r.Warning = err.Error()
	}
	return r, nil
}

// update replaces title and description if they differ and the request was opened for the same.
func (q *Requests) update(ctx context.Context, r PullRequest, p Proposal) (Result, error) {
	sameTitle := slices.Contains([]string{p.Title, draftPrefix + p.Title, workPrefix + p.Title}, r.Title)
	purpose, isOwn := q.owner.owns(r)
	if !isOwn || purpose != p.For || sameTitle && clean(r.Body) == clean(p.Body) {
		return Result{PullRequest: r, Action: Kept}, nil
	}
	now, err := q.forge.Update(ctx, r, p.Title, p.Body)
	if err != nil {
		return Result{}, fmt.Errorf("update pull request %d: %w", r.ID, err)
	}
	return Result{PullRequest: now, Action: Updated}, nil
}

// close closes a request. The URL is of the one instead; empty: there is none. A request that the owner closes was not
// declined, so its changes are taken out of the description before. The comment comes last: if the server does not let
// the owner close the request, it does not get a comment again with each try.
func (q *Requests) close(ctx context.Context, r PullRequest, instead string) (Result, error) {
	why := "Closed: " + r.Base + " does not need these changes any more."
	if instead != "" {
		why = "Closed: superseded by " + instead
	}
	var err error
	if body := withoutChanges(r.Body); body != r.Body {
		r, err = q.forge.Update(ctx, r, r.Title, body)
	}
	if err == nil {
		err = q.forge.Close(ctx, r)
	}
	if err != nil {
		return Result{}, fmt.Errorf("close pull request %d: %w", r.ID, err)
	}
	result := Result{PullRequest: r, Action: Closed}
	if err := q.forge.Comment(ctx, r, why); err != nil {
		result.Warning = err.Error()
	}
	return result, nil
}

// fit returns a proposal as the server takes it. The last two lines of the description tell what is proposed, and what
// the request is for. No page shows the lines, because each defines a link that nothing uses.
func fit(f Forge, owner Owner, p Proposal) Proposal {
	title, body := f.Limits()
	p.Title = cut(strings.TrimSpace(p.Title), title)
	end := "\n\n" + changesLine(p.Changes) + "\n" + owner.mark(p.For)
	p.Body = cut(clean(p.Body), body-len(end)) + end
	return p
}

const (
	markBefore, markBehind = "[//]: # (nave ", ")"
	changesBefore          = "[//]: # (nave-changes "
)

// changesLine returns the line of a description that tells what is proposed.
func changesLine(changes string) string { return changesBefore + changes + markBehind }

// changesOf returns the last line but one of a description, where that line is.
func changesOf(body string) string {
	body = clean(body)
	return lastLine(strings.TrimSuffix(body, lastLine(body)))
}

// withoutChanges returns a description without the line that tells what is proposed.
func withoutChanges(body string) string {
	changes, mark := changesOf(body), lastLine(body)
	if !strings.HasPrefix(changes, changesBefore) {
		return body
	}
	before := strings.TrimSuffix(clean(body), mark)
	return strings.TrimSuffix(clean(before), changes) + mark
}

func lastLine(text string) string {
	text = clean(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// clean returns a text without what servers change: ends of lines, and white space around it.
func clean(text string) string { return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")) }

// cut shortens a text to so many bytes, at a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:limit-len(more)], "") + more
}
