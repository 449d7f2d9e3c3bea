package forge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// Sync makes the open requests into base, as far as they belong to owner, what the proposals say. A proposal is a
// request by its head: one that somebody else has opened for the head is left as it is. A request of the owner that no
// proposal is for is closed, and the comment says why. If some fail, the others are still carried out.
func Sync(ctx context.Context, f Forge, owner, base string, proposals []Proposal) (results []Result, err error) {
	open, err := f.Open(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("list the pull requests into %s: %w", base, err)
	}
	var errs []error
	instead := map[string]string{} // mark → URL
	for _, p := range proposals {
		p = fit(f, owner, p)
		r, err := carryOut(ctx, f, open, p)
		switch {
		case err != nil:
			errs = append(errs, err)
		case r.Action != "":
			results = append(results, r)
			instead[markOf(owner, p.Body)] = r.URL
		}
	}
	for _, r := range open {
		mark := markOf(owner, r.Body)
		if mark == "" || slices.ContainsFunc(proposals, func(p Proposal) bool { return p.Head == r.Head }) {
			continue
		}
		if err := closeRequest(ctx, f, r, instead[mark]); err != nil {
			errs = append(errs, err)
			continue
		}
		results = append(results, Result{PullRequest: r, Action: Closed})
	}
	return results, errors.Join(errs...)
}

// carryOut makes the request of one proposal what it should be. The action is empty if there is none and none may be
// opened.
func carryOut(ctx context.Context, f Forge, open []PullRequest, p Proposal) (Result, error) {
	at := slices.IndexFunc(open, func(r PullRequest) bool { return r.Head == p.Head })
	switch {
	case at >= 0:
		return update(ctx, f, open[at], p)
	case p.Closed:
		return Result{}, nil
	}
	made, err := f.Create(ctx, p)
	if err != nil {
		return Result{}, fmt.Errorf("open a pull request from %s into %s: %w", p.Head, p.Base, err)
	}
	r := Result{PullRequest: made, Action: Opened}
	if err := f.Adorn(ctx, made, p); err != nil {
		r.Warning = err.Error()
	}
	return r, nil
}

// update replaces title and description if they differ and the request was opened for the same.
func update(ctx context.Context, f Forge, r PullRequest, p Proposal) (Result, error) {
	sameTitle := slices.Contains([]string{p.Title, draftPrefix + p.Title, workPrefix + p.Title}, r.Title)
	isOurs := strings.HasSuffix(clean(r.Body), lastLine(p.Body))
	if !isOurs || sameTitle && clean(r.Body) == clean(p.Body) {
		return Result{PullRequest: r, Action: Kept}, nil
	}
	if err := f.Update(ctx, r, p.Title, p.Body); err != nil {
		return Result{}, fmt.Errorf("update pull request %d: %w", r.ID, err)
	}
	r.Title, r.Body = p.Title, p.Body
	return Result{PullRequest: r, Action: Updated}, nil
}

// closeRequest closes a request. The URL is of the one instead; empty: there is none.
func closeRequest(ctx context.Context, f Forge, r PullRequest, instead string) error {
	why := "Closed: " + r.Base + " does not need these changes any more."
	if instead != "" {
		why = "Closed: superseded by " + instead
	}
	if err := f.Close(ctx, r, why); err != nil {
		return fmt.Errorf("close pull request %d: %w", r.ID, err)
	}
	return nil
}

// fit returns a proposal as the server takes it. The last line of the description tells what the request is for. No
// page shows the line, because it defines a link that nothing uses.
func fit(f Forge, owner string, p Proposal) Proposal {
	title, body := f.Limits()
	p.Title = cut(strings.TrimSpace(p.Title), title)
	end := "\n\n" + markBefore + strings.TrimSpace(owner+" "+p.For) + markBehind
	p.Body = cut(clean(p.Body), body-len(end)) + end
	return p
}

const markBefore, markBehind = "[//]: # (nave ", ")"

// markOf returns what a request of an owner is for, as its description says; empty: it is not of the owner.
func markOf(owner, body string) string {
	mark, ok := strings.CutPrefix(lastLine(body), markBefore)
	mark, ends := strings.CutSuffix(mark, markBehind)
	if by, _, _ := strings.Cut(mark, " "); !ok || !ends || by != owner {
		return ""
	}
	return mark
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
