package reference

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/shlex"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/navefleet/nave/e2e/kubetest"
)

// designs is the folder of documents that also tell what was planned and what was decided against.
var designs = filepath.Join("docs", "design") + string(filepath.Separator)

// CheckCommands returns an error that names each command of documents and of units of systemd that the program would
// refuse: a verb or a flag that does not exist, or arguments that do not fit. Commands are those of shell blocks,
// and those in backticks, which may leave arguments out. newRoot makes the command of the program.
func CheckCommands(newRoot func() *cobra.Command) error {
	checkout, err := kubetest.Root()
	if err != nil {
		return err
	}
	documents, err := below(checkout, ".md")
	if err != nil {
		return err
	}
	units, err := below(filepath.Join(checkout, "deploy"), ".service")
	if err != nil {
		return err
	}
	documents = append(documents, units...)
	var problems []error
	found := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(checkout, document)
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, designs) {
			continue
		}
		for _, c := range commandsOf(shellOfUnit(name, string(text)), newRoot().Name()) {
			found++
			root := newRoot()
			root.InitDefaultCompletionCmd()
			if err := c.check(root); err != nil {
				problems = append(problems, fmt.Errorf("%s: %s: %w", name, strings.Join(c.words, " "), err))
			}
		}
	}
	if found == 0 {
		problems = append(problems, fmt.Errorf("no document has a command of %s", newRoot().Name()))
	}
	return errors.Join(problems...)
}

// shellOfUnit returns a document, and of a unit of systemd the command that it starts as a shell block.
func shellOfUnit(name, text string) string {
	if filepath.Ext(name) != ".service" {
		return text
	}
	return "```sh\n" + strings.ReplaceAll(text, "\nExecStart=", "\n") + "```\n"
}

// documented is a command of a document.
type documented struct {
	words   []string // without the name of the program
	mention bool     // in the text: arguments may be left out
}

var (
	shellBlock = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")
	anyBlock   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	inline     = regexp.MustCompile("`([^`]+)`")
	substitute = regexp.MustCompile(`\$\([^)]*\)`) // what a shell replaces by what another command prints
	operators  = []string{"|", "||", "&&", ";", "&", ">", ">>", "<", "2>", "2>&1", "…"}
	prefixes   = []string{"--", "!", "until", "if", "do", "then", "while"} // what may stand before a command
)

// commandsOf returns the commands of a program in a document.
func commandsOf(document, program string) (all []documented) {
	for _, block := range shellBlock.FindAllStringSubmatch(document, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", "")) {
			for _, words := range commandsOfLine(line, program) {
				all = append(all, documented{words: words})
			}
		}
	}
	for _, span := range inline.FindAllStringSubmatch(anyBlock.ReplaceAllString(document, ""), -1) {
		for _, words := range commandsOfLine(span[1], program) {
			for _, words := range alternatives(words) {
				all = append(all, documented{words: words, mention: true})
			}
		}
	}
	return all
}

// alternatives returns what a text mentions with one bar: "push|pull artifact" is "push artifact" and "pull artifact".
func alternatives(words []string) (all [][]string) {
	i := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, "|") })
	if i < 0 {
		return [][]string{words}
	}
	for word := range strings.SplitSeq(words[i], "|") {
		all = append(all, slices.Concat(words[:i], []string{word}, words[i+1:]))
	}
	return all
}

// commandsOfLine returns the arguments of each call of a program in a line of a shell. A line that is not shell has
// none.
func commandsOfLine(line, program string) (all [][]string) {
	words, err := shlex.Split(strings.ReplaceAll(substitute.ReplaceAllString(line, "x"), ";", " ;"))
	if err != nil {
		return nil
	}
	for i, word := range words {
		starts := i == 0 || isOperator(words[i-1]) || slices.Contains(prefixes, words[i-1])
		if !starts || path.Base(word) != program {
			continue
		}
		args := words[i+1:]
		if end := slices.IndexFunc(args, isOperator); end >= 0 {
			args = args[:end]
		}
		all = append(all, args)
	}
	return all
}

func isOperator(word string) bool {
	return slices.Contains(operators, word) || strings.HasPrefix(word, "<<")
}

// check returns why a program refuses a command before it does anything.
func (d documented) check(root *cobra.Command) error {
	root.InitDefaultVersionFlag()
	c, rest, err := root.Find(d.words)
	if err != nil {
		return err
	}
	if d.mention {
		return mentioned(c, rest)
	}
	if err := errors.Join(c.ParseFlags(rest), refuses(c)); err != nil {
		return err
	}
	return errors.Join(c.ValidateArgs(c.Flags().Args()), c.ValidateRequiredFlags(), c.ValidateFlagGroups())
}

// mentioned returns why there is no command like the one that a text mentions. The text may leave out arguments, values
// of flags, and the last word of a group: nave diff --live stands for each command of nave diff that has the flag.
func mentioned(c *cobra.Command, rest []string) error {
	isFlag := len(rest) == 0 || strings.HasPrefix(rest[0], "-")
	if c.HasSubCommands() && c.HasParent() && !isFlag && strings.ToUpper(rest[0]) != rest[0] {
		return fmt.Errorf("%s has no command %q", c.CommandPath(), rest[0])
	}
	err := errors.Join(c.ParseFlags(rest), refuses(c))
	if _, is := errors.AsType[*pflag.ValueRequiredError](err); is {
		return nil
	}
	if _, is := errors.AsType[*pflag.InvalidValueError](err); is { // --release N
		return nil
	}
	for _, below := range c.Commands() {
		if err != nil && mentioned(below, rest) == nil {
			return nil
		}
	}
	return err
}

// refuses returns the error of a command about global flags that have no effect for it.
func refuses(c *cobra.Command) error {
	for p := c; p != nil; p = p.Parent() {
		if p.PersistentPreRunE != nil {
			return p.PersistentPreRunE(c, nil)
		}
	}
	return nil
}

// below returns the files of a folder whose names end so, without hidden folders.
func below(dir, suffix string) (paths []string, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), ".") && path != dir && e.Name() != ".github":
			return filepath.SkipDir
		case !e.IsDir() && strings.HasSuffix(path, suffix):
			paths = append(paths, path)
		}
		return nil
	})
	return paths, err
}
