package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/shared/wording"
)

func newDiffArtifactCommand(s *session) *cobra.Command {
	var r registryFlags
	var path string
	var ignore []string
	cmd := &cobra.Command{
		Use:     "artifact oci://HOST/PATH:TAG --path PATH",
		Short:   "Compare a folder or a file with an artifact; exit code 1 if they differ, 2 after an error",
		Example: `  nave diff artifact oci://ghcr.io/org/fleet:v1.0.0 --path ./deploy`,
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = s.limited(func(ctx context.Context, out io.Writer, args []string) error {
		if path == "" {
			return usageError("--path is required")
		}
		var archive bytes.Buffer
		if err := packPath(&archive, path, ignore, cmd.InOrStdin()); err != nil {
			return err
		}
		local, err := sumsOf(ctx, &archive)
		if err != nil {
			return err
		}
		_, _, content, err := r.open(ctx, args[0])
		if err != nil {
			return err
		}
		defer content.Close()
		published, err := sumsOf(ctx, content)
		if err != nil {
			return err
		}
		return compare(out, published, local, args[0])
	})
	r.add(cmd.Flags())
	cmd.Flags().StringVar(&path, "path", "", "folder, or single file, to compare; - is standard input")
	cmd.Flags().StringSliceVar(&ignore, "ignore-paths", defaultIgnore, "paths to leave out, as in .gitignore")
	return cmd
}

// sumsOf returns a checksum of the content and the mode of each file of an archive, by the name of the file.
func sumsOf(ctx context.Context, r io.Reader) (map[string]string, error) {
	sums := map[string]string{}
	err := eachFile(ctx, r, func(name string, mode artifact.Mode, content io.Reader) error {
		hash := sha256.New()
		_, err := io.Copy(hash, content)
		sums[name] = fmt.Sprintf("%s %x", mode, hash.Sum(nil))
		return err
	})
	return sums, err
}

// compare prints the files that differ. If there are some, it returns errDifferent.
func compare(out io.Writer, published, local map[string]string, address string) error {
	all := maps.Clone(published)
	maps.Copy(all, local)
	different := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, was := published[name]
		now, is := local[name]
		sign := ""
		switch {
		case !was:
			sign = "added"
		case !is:
			sign = "removed"
		case before != now:
			sign = "changed"
		default:
			continue
		}
		different++
		fmt.Fprintf(out, "%s\t%s\n", sign, said(name))
	}
	if different > 0 {
		fmt.Fprintf(out, "%s different from %s\n", wording.Count(different, "file"), address)
		return errDifferent
	}
	fmt.Fprintln(out, "no changes")
	return nil
}
