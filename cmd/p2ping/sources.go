package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v3"
)

// given is a setting with the values that somebody gave it, and who.
type given struct {
	setting
	values []string
	source string // such as "flag --topic"; "default" where nobody gave any
}

// envName is the variable that stands for a flag.
func envName(flag string) string {
	return "P2PING_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settingFlags makes the flags of the table, and --config. They only collect:
// what counts in the end is resolve's business, so that it is one rule for
// flags, variables and the file, and can be explained by `p2ping config`.
func settingFlags() []cli.Flag {
	flags := make([]cli.Flag, 0, 20)
	for _, s := range settingsTable() {
		usage := s.usage + variables(s)
		switch s.kind {
		case list:
			flags = append(flags, &cli.StringSliceFlag{Name: s.name, Usage: usage})
		case toggle:
			if s.byDefault == "true" {
				usage += " (default: true)"
			}
			flags = append(flags, &cli.BoolFlag{Name: s.name, Usage: usage, HideDefault: true})
		case text:
			flags = append(flags, &cli.StringFlag{Name: s.name, Usage: usage, DefaultText: s.byDefault})
		}
	}
	return append(flags, &cli.StringFlag{
		Name:  "config",
		Usage: "read settings from the TOML `FILE` (default: p2ping/config.toml in the user's config directory, if it is there) [$P2PING_CONFIG]",
	})
}

// variables is help's note on the variables of a setting.
func variables(s setting) string {
	if s.tutorial == "" {
		return fmt.Sprintf(" [$%s]", s.variable())
	}
	return fmt.Sprintf(" [$%s, $%s]", s.variable(), s.tutorial)
}

// flagValues returns what the command line says of a setting.
func flagValues(cmd *cli.Command, s setting) ([]string, bool) {
	if !cmd.IsSet(s.name) {
		return nil, false
	}
	switch s.kind {
	case list:
		return cmd.StringSlice(s.name), true
	case toggle:
		return []string{fmt.Sprint(cmd.Bool(s.name))}, true
	default:
		return []string{cmd.String(s.name)}, true
	}
}

// settingsOf resolves and checks the settings for a command.
func (p *program) settingsOf(cmd *cli.Command) (settings, []given, error) {
	file, err := p.configFile(cmd.String("config"))
	if err != nil {
		return settings{}, nil, err
	}
	all := resolve(func(s setting) ([]string, bool) { return flagValues(cmd, s) }, p.env, file)
	s, err := check(all)
	if err != nil {
		return settings{}, nil, err
	}
	return s, all, s.finish(p.env)
}

// resolve finds every setting's values: the flag goes before the environment,
// P2PING_ before the tutorial's variables, these before the config file, and
// that before the default. An empty variable counts as not set.
func resolve(flag func(setting) ([]string, bool), env environ, file map[string]fileValue) []given {
	all := make([]given, 0, 20)
	for _, s := range settingsTable() {
		g := given{setting: s, source: "default"}
		if s.byDefault != "" {
			g.values = []string{s.byDefault}
		}
		if values, ok := flag(s); ok {
			g.values, g.source = values, "flag --"+s.name
		} else if name, value := fromEnv(env, s); value != "" {
			g.values, g.source = []string{value}, "env "+name
			if s.kind == list && !s.whole {
				g.values = splitList(value)
			}
		} else if v, ok := file[s.name]; ok {
			g.values, g.source = v.values, v.source
		}
		all = append(all, g)
	}
	return all
}

func fromEnv(env environ, s setting) (name, value string) {
	if value := env.get(s.variable()); value != "" || s.tutorial == "" {
		return s.variable(), value
	}
	return s.tutorial, env.get(s.tutorial)
}

// splitList reads a variable's list: commas between, no multiaddr has one.
func splitList(value string) []string {
	var values []string
	for v := range strings.SplitSeq(value, ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// check turns strings into settings. Its error names the setting as the user
// wrote it.
func check(all []given) (settings, error) {
	var s settings
	for _, g := range all {
		if len(g.values) == 0 {
			continue
		}
		if err := g.set(&s, g.values); err != nil {
			return settings{}, usage("`p2ping config` shows every setting and where it comes from; `p2ping run --help` explains them",
				"%s: %q: %w", strings.TrimPrefix(strings.TrimPrefix(g.source, "flag "), "env "), strings.Join(g.values, ","), err)
		}
	}
	return s, nil
}

// defaultSettings are the settings when nobody says anything, not finished.
func defaultSettings() (settings, error) {
	return check(resolve(
		func(setting) ([]string, bool) { return nil, false },
		func(string) (string, bool) { return "", false },
		nil))
}

// fileValue is one key of the config file.
type fileValue struct {
	values []string
	source string // file, line and key
}

// configFile reads the file that the flag or P2PING_CONFIG names, which must
// be there, or the default one, which may be missing.
func (p *program) configFile(path string) (map[string]fileValue, error) {
	if path == "" {
		path = p.env.get("P2PING_CONFIG")
	}
	named := path != ""
	if !named {
		dir, err := configDir(p.env)
		if err != nil {
			return nil, nil //nolint:nilerr // without a home there is no default config file
		}
		path = filepath.Join(dir, "config.toml")
	}
	content, err := os.ReadFile(path)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &failure{code: exitUsage, err: fmt.Errorf("reading the config file: %w", err)}
	}
	return parseConfig(path, string(content))
}

// parseConfig reads a config file's content; path serves errors and sources.
func parseConfig(path, content string) (map[string]fileValue, error) {
	var raw map[string]toml.Primitive
	meta, err := toml.Decode(content, &raw)
	if err != nil {
		return nil, usage("", "%s: %w", path, err)
	}
	known := make(map[string]kind)
	for _, s := range settingsTable() {
		known[s.name] = s.kind
	}
	values := make(map[string]fileValue, len(raw))
	for _, key := range meta.Keys() {
		if len(key) != 1 {
			continue // inside a table, whose own key was refused
		}
		name, value := key[0], raw[key[0]]
		where := fmt.Sprintf("%s, line %d", path, lineOf(meta, value))
		k, ok := known[name]
		if !ok {
			return nil, usage("`p2ping config` lists the settings; the file's keys are the flags' names",
				"%s: unknown key %q", where, name)
		}
		var v any
		if err := meta.PrimitiveDecode(value, &v); err != nil {
			return nil, usage("", "%s: %w", where, err)
		}
		texts, err := fileTexts(v, k)
		if err != nil {
			return nil, usage("", "%s: key %q: %w", where, name, err)
		}
		values[name] = fileValue{values: texts, source: where + ", key " + name}
	}
	return values, nil
}

// fileTexts writes a TOML value as a flag would have it. Numbers stand for
// text where a flag takes text, so that p2p-port = 6001 reads as it should.
func fileTexts(v any, k kind) ([]string, error) {
	if items, ok := v.([]any); ok && k == list {
		texts := make([]string, 0, len(items))
		for _, item := range items {
			one, ok := item.(string)
			if !ok {
				return nil, errors.New("an array of strings is wanted")
			}
			texts = append(texts, one)
		}
		return texts, nil
	}
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case int64, bool:
		return []string{fmt.Sprint(v)}, nil
	}
	if k == list {
		return nil, errors.New("an array of strings is wanted")
	}
	return nil, errors.New("a string, a whole number or a boolean is wanted")
}

// lineOf finds where a key is: the parser tells only with an error, so one is
// made.
func lineOf(meta toml.MetaData, value toml.Primitive) int {
	err := meta.PrimitiveDecode(value, new(refused))
	if at, ok := errors.AsType[toml.ParseError](err); ok {
		return at.Position.Line
	}
	return 0
}

type refused struct{}

func (*refused) UnmarshalTOML(any) error { return errors.New("refused") }
