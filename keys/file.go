package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/libp2p/go-libp2p/core/crypto"
)

const elsewhereHint = "name another directory with --data-dir"

// maxFile bounds a key file in bytes. Ours has 68.
const maxFile = 4096

// Load reads the key file at path. Its errors wrap fs.ErrNotExist when there is
// none, [ErrPermissions], [ErrDamaged], [ErrNotEd25519], or the system's own.
func Load(path string) (crypto.PrivKey, error) {
	data, mode, err := read(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{err, "`p2ping key new` makes a key, and so does a node's first start"}
	case errors.Is(err, errTooLarge) || errors.Is(err, errIrregular):
		return nil, &Error{fmt.Errorf("%w: %w", ErrDamaged, err), damagedHint(path)}
	case errors.Is(err, fs.ErrPermission):
		return nil, &Error{err, "run as the user whose file it is"}
	case err != nil:
		return nil, err
	}
	// Windows has no such bits: Go makes them up.
	if runtime.GOOS != "windows" && mode.Perm()&0o077 != 0 {
		return nil, &Error{
			fmt.Errorf("%w: %s has mode %04o", ErrPermissions, path, mode.Perm()),
			fmt.Sprintf("`chmod 600 %s`; if anyone else may have read it, make a new key instead", quote(path)),
		}
	}
	key, err := parseProtobuf(data)
	if err == nil {
		return key, nil
	}
	err = fmt.Errorf("reading the key file %s: %w", path, err)
	if _, other := Parse(data); other == nil {
		return nil, &Error{err, "it is a key in a format for other programs: move it away, then `p2ping key import` it"}
	}
	if errors.Is(err, ErrDamaged) {
		return nil, &Error{err, damagedHint(path)}
	}
	return nil, err
}

func damagedHint(path string) string {
	return fmt.Sprintf("put a copy of the key back; or, to go on under a new peer ID, move it away: `mv %[1]s %[1]s.damaged`", quote(path))
}

// Create writes key to a new file at path, and makes its directory, with mode
// 0700, where there is none. It fails with [ErrExists] when path is taken, by
// whatever it is, and with [ErrNotEd25519] for another kind of key. When it
// returns nil the file survives a crash of the machine.
func Create(path string, key crypto.PrivKey) error {
	if _, err := standard(key); err != nil {
		return err
	}
	data, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return &Error{fmt.Errorf("making the key's directory: %w", err), elsewhereHint}
	}
	temp, err := writeTemp(dir, data)
	if err != nil {
		return &Error{fmt.Errorf("writing the key file %s: %w", path, err), elsewhereHint}
	}
	defer os.Remove(temp) //nolint:errcheck // only its name goes, and there is nothing better to do about it
	// A link, as a rename would replace what another process made meanwhile.
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) {
		return &Error{
			fmt.Errorf("%w: %s", ErrExists, path),
			"a key is never overwritten: move it away if it is to be replaced",
		}
	} else if err != nil {
		return &Error{fmt.Errorf("writing the key file %s: %w", path, err), elsewhereHint + ", on a file system with hard links"}
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("writing the key file %s: %w", path, err)
	}
	return nil
}

// LoadOrCreate loads the key [FileName] in dir, or makes one, and says whether
// it did. A key that is there and can't be used is an error, as in [Load].
func LoadOrCreate(dir string) (key crypto.PrivKey, created bool, err error) {
	path := filepath.Join(dir, FileName)
	key, err = Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	if key, err = Generate(); err != nil {
		return nil, false, err
	}
	err = Create(path, key)
	if errors.Is(err, ErrExists) { // another process was faster: its key is ours
		key, err = Load(path)
		return key, false, err
	}
	if err != nil {
		return nil, false, err
	}
	return key, true, nil
}

// makeDir makes dir with mode 0700, and its parents, unless it is there.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// writeTemp writes data to a new file in dir, with mode 0600, and syncs it.
func writeTemp(dir string, data []byte) (path string, err error) {
	f, err := os.CreateTemp(dir, "."+FileName+"-*") // O_EXCL, 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir makes the names in dir survive a crash.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // it can't, and does so by itself
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

var (
	errTooLarge  = errors.New("file too large")
	errIrregular = errors.New("no regular file")
)

// read reads a regular file of at most limit bytes. The mode is that of the file
// that was read, whatever path leads to by now.
func read(path string, limit int64) (data []byte, mode fs.FileMode, err error) {
	// O_NONBLOCK: a named pipe must be refused, not waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s", errIrregular, path)
	}
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(data)) > limit {
		return nil, 0, fmt.Errorf("%w: %s has over %d bytes", errTooLarge, path, limit)
	}
	return data, info.Mode(), nil
}

// quote quotes s for a shell, where it has to.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,", r)
	}
	if s != "" && strings.TrimLeftFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
