package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
)

const defaultInterval = time.Minute // flux's

func newCreateImageRepositoryCommand(s *session) *cobra.Command {
	var image, secret, certificate string
	var interval, scan time.Duration
	var insecure bool
	var exclude []string
	c := creation{session: s, kind: "image repository", spec: func(*cobra.Command) (spec, error) {
		r := spec{}
		r.set(image, "image")
		r.set(interval, "interval")
		r.set(scan, "timeout")
		r.set(secret, "secretRef", "name")
		r.set(certificate, "certSecretRef", "name")
		r.set(insecure, "insecure")
		if len(exclude) > 0 {
			r["exclusionList"] = anyOf(exclude)
		}
		return r, nil
	}}
	cmd := c.command(&cobra.Command{
		Use:   "repository NAME",
		Short: "Create an ImageRepository, which lists the tags of an image",
		Long:  "Create an ImageRepository, which lists the tags of an image.\n\n" + createLong,
		Example: "  nave create image repository app --image=ghcr.io/org/app --interval=5m\n" +
			"  nave create image repository app --image=ghcr.io/org/app --secret-ref=registry --export > app.yaml",
	})
	f := cmd.Flags()
	f.StringVar(&image, "image", "", "the image, such as ghcr.io/org/app, without a tag (required)")
	f.DurationVar(&interval, "interval", defaultInterval, "how often the tags are listed")
	f.DurationVar(&scan, "scan-timeout", 0, "how long listing the tags may take")
	f.StringVar(&secret, "secret-ref", "", "name of the Secret with the credentials for the registry")
	f.StringVar(&certificate, "cert-ref", "", "name of the Secret with the certificates for the registry")
	f.BoolVar(&insecure, "insecure", false, "the registry speaks plain HTTP")
	f.StringArrayVar(&exclude, "exclude", nil, "regular expression of tags to leave out (repeatable; default ^.*\\.sig$)")
	return required(cmd, "image")
}

// policyFlags has the flags of "nave create image policy".
type policyFlags struct {
	repository, semver, alpha, numeric, regex, extract, digest string
	interval                                                   time.Duration
}

func newCreateImagePolicyCommand(s *session) *cobra.Command {
	var p policyFlags
	c := creation{session: s, kind: "image policy", spec: p.spec}
	cmd := c.command(&cobra.Command{
		Use:   "policy NAME",
		Short: "Create an ImagePolicy, which chooses a tag of an ImageRepository",
		Long:  "Create an ImagePolicy, which chooses a tag of an ImageRepository.\n\n" + createLong,
		Example: "  nave create image policy app --image-ref=app --select-semver='>=1.0.0 <2.0.0'\n" +
			"  nave create image policy app --image-ref=app --select-numeric=asc \\\n" +
			"    --filter-regex='^main-[a-f0-9]+-(?P<ts>[0-9]+)$' --filter-extract='$ts'",
	})
	f := cmd.Flags()
	f.StringVar(&p.repository, "image-ref", "", "name of the ImageRepository (required)")
	f.StringVar(&p.semver, "select-semver", "", "choose the highest version in this range")
	f.StringVar(&p.alpha, "select-alpha", "", "choose the last tag in the order of bytes (asc) or the first (desc)")
	f.StringVar(&p.numeric, "select-numeric", "", "choose the highest number (asc) or the lowest (desc)")
	f.StringVar(&p.regex, "filter-regex", "", "regular expression of the tags to choose from")
	f.StringVar(&p.extract, "filter-extract", "", "what is compared in place of the tag, by the groups of "+
		"--filter-regex")
	f.StringVar(&p.digest, "reflect-digest", "", "whether the digest is chosen, too: Never, IfNotPresent or Always "+
		"(default Never)")
	f.DurationVar(&p.interval, "interval", 0, "how often the digest is asked for, with "+
		"--reflect-digest=Always (default 1m)")
	return required(cmd, "image-ref")
}

func (p *policyFlags) spec(cmd *cobra.Command) (spec, error) {
	chosen := 0
	for _, name := range []string{"select-semver", "select-alpha", "select-numeric"} {
		if cmd.Flags().Changed(name) {
			chosen++
		}
	}
	if chosen != 1 {
		return nil, usageError("want one of --select-semver, --select-alpha and --select-numeric")
	}
	r := spec{}
	r.set(p.repository, "imageRepositoryRef", "name")
	r.set(p.semver, "policy", "semver", "range")
	r.set(p.alpha, "policy", "alphabetical", "order")
	r.set(p.numeric, "policy", "numerical", "order")
	r.set(p.regex, "filterTags", "pattern")
	r.set(p.extract, "filterTags", "extract")
	r.set(p.digest, "digestReflectionPolicy")
	switch isAlways := p.digest == "Always"; {
	case p.interval != 0 && !isAlways:
		return nil, usageError("--interval does nothing without --reflect-digest=Always: leave it out; other policies " +
			"follow the interval of the ImageRepository")
	case p.interval == 0 && isAlways:
		r.set(defaultInterval, "interval")
	}
	r.set(p.interval, "interval")
	return r, nil
}

func newCreateImageUpdateCommand(s *session) *cobra.Command {
	var repository, namespace, path, checkout, push, name, email, message string
	var interval time.Duration
	c := creation{session: s, kind: "image update", spec: func(*cobra.Command) (spec, error) {
		r := spec{}
		r.set(api.GitRepositoryKind, "sourceRef", "kind")
		r.set(repository, "sourceRef", "name")
		r.set(namespace, "sourceRef", "namespace")
		r.set(interval, "interval")
		r.set(checkout, "git", "checkout", "ref", "branch")
		r.set(push, "git", "push", "branch")
		r.set(name, "git", "commit", "author", "name")
		r.set(email, "git", "commit", "author", "email")
		r.set(message, "git", "commit", "messageTemplate")
		if path != "" {
			r.set("Setters", "update", "strategy")
			r.set(path, "update", "path")
		}
		return r, nil
	}}
	cmd := c.command(&cobra.Command{
		Use:   "update NAME",
		Short: "Create an ImageUpdateAutomation, which commits chosen images to Git",
		Long:  "Create an ImageUpdateAutomation, which commits chosen images to Git.\n\n" + createLong,
		Example: "  nave create image update apps --git-repo-ref=apps --git-repo-path=./apps \\\n" +
			"    --author-name=Nave --author-email=nave@example.com --push-branch=image-updates",
	})
	f := cmd.Flags()
	f.StringVar(&repository, "git-repo-ref", "", "name of the GitRepository (required)")
	f.StringVar(&namespace, "git-repo-namespace", "", "namespace of the GitRepository (default: that of the object)")
	f.StringVar(&path, "git-repo-path", "", "folder of the repository whose files are changed (default: all of it)")
	f.StringVar(&checkout, "checkout-branch", "", "branch that is changed (default: that of the GitRepository)")
	f.StringVar(&push, "push-branch", "", "branch that gets the commits (default: the one that is changed)")
	f.StringVar(&name, "author-name", "", "name of the author of the commits")
	f.StringVar(&email, "author-email", "", "address of the author of the commits (required)")
	f.StringVar(&message, "commit-template", "", "template of the commit message")
	f.DurationVar(&interval, "interval", defaultInterval, "how often the repository is looked at, beside changes "+
		"of images")
	return required(cmd, "git-repo-ref", "author-email")
}

// required marks flags as required.
func required(cmd *cobra.Command, names ...string) *cobra.Command {
	for _, name := range names {
		_ = cmd.MarkFlagRequired(name) // it exists
	}
	return cmd
}

// anyOf returns texts as a list of an object.
func anyOf(texts []string) (list []any) {
	for _, text := range texts {
		list = append(list, text)
	}
	return list
}
