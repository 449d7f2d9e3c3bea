package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/shared/wording"
)

func newBackupCommand() *cobra.Command {
	var dataDir, output string
	var withoutKeys bool
	command := &cobra.Command{
		Use:   "backup",
		Short: "Write everything that a hub needs to come back into one archive, while it runs",
		Long: "Write everything that a hub needs to come back into one tar archive: the store as of one moment, and the " +
			"keys and configurations beside it. The hub may be running, and serves meanwhile. Caches are left out.\n" +
			"Whoever has the archive can decide what runs in every cluster: encrypt it. With --without-keys it has the " +
			"store alone, whose credentials are encrypted with vault.key; standard error names the files that a restore " +
			"needs then.",
		Example: "  kubectl -n nave-hub exec nave-hub-0 -- /nave-hub backup > hub.tar",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			to, done, err := openOutput(cmd.OutOrStdout(), output)
			if err != nil {
				return err
			}
			m, err := hub.Backup(cmd.Context(), dataDir, withoutKeys, to)
			if err := done(err); err != nil {
				return err
			}
			needs := m.Needs()
			fmt.Fprintf(cmd.ErrOrStderr(), "✔ backup of %s with %s\n", dataDir,
				wording.Count(len(m.Files)-len(needs), "file"))
			if len(needs) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "◎ a restore needs these files of %s, too: %s\n", dataDir,
					strings.Join(needs, ", "))
			}
			return nil
		},
	}
	f := command.Flags()
	f.StringVar(&dataDir, "data-dir", "/var/lib/nave", "the hub's data folder")
	f.StringVarP(&output, "output", "o", "-", "file to write, which only its owner can read; - is standard output")
	f.BoolVar(&withoutKeys, "without-keys", false, "the store alone")
	return command
}

// openOutput returns where an archive is written to. A file appears under its name when done was called without an
// error. What is no regular file, such as /dev/stdout, is written to and not replaced.
func openOutput(stdout io.Writer, name string) (to io.Writer, done func(error) error, err error) {
	if name == "-" {
		if f, ok := stdout.(*os.File); ok && isTerminal(f) {
			return nil, nil, errors.New("an archive is not for a terminal: name a file with --output")
		}
		return stdout, func(err error) error { return err }, nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		return f, func(err error) error { return errors.Join(err, f.Close()) }, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".nave-backup-") // readable by its owner only
	if err != nil {
		return nil, nil, err
	}
	return f, func(err error) error {
		if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
			err = os.Rename(f.Name(), name)
		}
		if err != nil {
			return errors.Join(err, os.Remove(f.Name()))
		}
		return nil
	}, nil
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

func newRestoreCommand() *cobra.Command {
	var dataDir, keys string
	command := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data folder of an archive that nave-hub backup wrote",
		Long: "Make a data folder of an archive that nave-hub backup wrote. A folder that has a store is refused, and " +
			"nothing in it changes: move it away. The archive is checked as a whole before anything is in its " +
			"place. - reads standard input. If the archive was made with --without-keys, the files that it needs are " +
			"taken from --keys, or are in the data folder already.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			archive := cmd.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				archive = f
			}
			m, err := hub.Restore(cmd.Context(), archive, dataDir, keys)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "✔ restored %s as of %s: %s\n", dataDir, m.Created.Format(time.RFC3339),
				wording.Count(len(m.Files), "file"))
			return nil
		},
	}
	f := command.Flags()
	f.StringVar(&dataDir, "data-dir", "/var/lib/nave", "the hub's data folder")
	f.StringVar(&keys, "keys", "", "folder of the files that the archive leaves out (default: the data folder)")
	return command
}
