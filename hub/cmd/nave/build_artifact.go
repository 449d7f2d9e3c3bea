package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newBuildArtifactCommand() *cobra.Command {
	var path, output string
	var ignore []string
	cmd := &cobra.Command{
		Use:   "artifact --path PATH",
		Short: "Pack a folder or a file as nave push artifact does",
		Long: `Pack a folder or a file into a compressed tar archive, as nave push artifact does. Equal files make equal
archives, whoever packs them and when.`,
		Example: `  nave build artifact --path ./deploy --output ./artifact.tgz`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var archive bytes.Buffer
			if err := packPath(&archive, path, ignore, cmd.InOrStdin()); err != nil {
				return err
			}
			if err := os.WriteFile(output, archive.Bytes(), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "artifact created at %s\n", output)
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "path", "p", "", "folder, or single file, to pack; - is standard input")
	cmd.Flags().StringVarP(&output, "output", "o", "artifact.tgz", "file to write")
	cmd.Flags().StringSliceVar(&ignore, "ignore-paths", defaultIgnore, "paths to leave out, as in .gitignore")
	_ = cmd.MarkFlagRequired("path")
	return cmd
}

// packPath packs path as packArchive does. If path is "-", packPath packs standard input.
func packPath(w io.Writer, path string, ignore []string, stdin io.Reader) error {
	if path != "-" {
		return packArchive(w, path, ignore)
	}
	dir, err := os.MkdirTemp("", "nave-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	content, err := readInput(stdin, "-")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "stdin.yaml"), content, 0o600); err != nil {
		return err
	}
	return packArchive(w, dir, nil)
}
