package composefile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/appspan-dev/appspan/appmodel"
)

// Bounds of companions: what Kubernetes takes in one object, and in all.
const (
	maxFile      = 900 << 10
	maxDirectory = 900 << 10
	maxEntries   = 500
	maxBound     = 32 << 20
)

var (
	errNoFiles = errors.New("there are no companions")
	errMissing = errors.New("not among the companions")
	errLink    = errors.New("a symbolic link, which is not followed")
)

// escapes reports whether a relative path leaves the directory of the compose
// file, or is none.
func escapes(name, dir string) bool {
	return strings.HasPrefix(name, "/") || strings.HasPrefix(name, "~") || strings.ContainsAny(name, "\x00\\") ||
		!fs.ValidPath(path.Join(dir, name))
}

// readFile reads a companion of at most limit bytes.
func (im *importer) readFile(name string, limit int) ([]byte, error) {
	if im.opts.Files == nil {
		return nil, errNoFiles
	}
	if !fs.ValidPath(name) {
		return nil, errMissing
	}
	if im.linked(name) {
		return nil, errLink
	}
	if info, err := fs.Stat(im.opts.Files, name); err != nil || !info.Mode().IsRegular() { // before it is opened: a pipe would wait
		return nil, errMissing
	}
	f, err := im.opts.Files.Open(name)
	if err != nil {
		return nil, errMissing
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("larger than %d KiB", limit>>10)
	}
	if im.bound += len(data); im.bound > maxBound {
		return nil, fmt.Errorf("the companions are larger than %d MiB together", maxBound>>20)
	}
	return data, nil
}

// linked reports whether a part of a path is a symbolic link: those lead out
// of a directory that does not hold them in. File systems without
// [fs.ReadLinkFS] can't tell.
func (im *importer) linked(name string) bool {
	for at := name; at != "."; at = path.Dir(at) {
		if info, err := fs.Lstat(im.opts.Files, at); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}

// missing reports whether a companion is simply not there.
func missing(err error) bool {
	return errors.Is(err, errNoFiles) || errors.Is(err, errMissing) || errors.Is(err, errLink)
}

// isDir reports whether a companion is a directory.
func (im *importer) isDir(name string) bool {
	if im.opts.Files == nil || !fs.ValidPath(name) || im.linked(name) {
		return false
	}
	info, err := fs.Stat(im.opts.Files, name)
	return err == nil && info.IsDir()
}

// content is a file with the bytes.
func content(target string, data []byte) appmodel.File {
	if utf8.Valid(data) {
		return appmodel.File{Path: target, Content: string(data)}
	}
	return appmodel.File{Path: target, Base64: base64.StdEncoding.EncodeToString(data)}
}

// see notes a companion's text, in which other services may be named.
func (s *service) see(name string, data []byte, k key) {
	if len(data) <= 256<<10 && utf8.Valid(data) {
		s.texts = append(s.texts, mountedText{name, string(data), k})
	}
}

// directory makes a config group of a bound directory, or single files where
// a group can't hold them.
func (im *importer) directory(s *service, source, target string, k key) {
	type entry struct {
		name string
		data []byte
	}
	var entries []entry
	flat, total := true, 0
	err := fs.WalkDir(im.opts.Files, source, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		if len(entries) == maxEntries {
			return fmt.Errorf("more than %d files", maxEntries)
		}
		data, err := im.readFile(p, maxFile)
		if errors.Is(err, errLink) {
			im.notes.degraded("", fmt.Sprintf("%q is %s: left out", cut(p), err), k)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if total += len(data); total > maxDirectory {
			return fmt.Errorf("more than %d KiB", maxDirectory>>10)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p, source), "/")
		if source == "." {
			name = p
		}
		flat = flat && itemName(name) && utf8.Valid(data)
		entries = append(entries, entry{name, data})
		s.see(p, data, k)
		return nil
	})
	if err != nil {
		to := im.persistent(s, path.Base(target), target, false, appmodel.DataFiles)
		im.notes.degraded(to, fmt.Sprintf("an empty volume: its content does not fit into the application (%s)", cut(err.Error())), k)
		return
	}
	if !flat {
		for _, e := range entries {
			s.comp.Files = append(s.comp.Files, content(path.Join(target, e.name), e.data))
		}
		im.notes.how(s.path("files"), fmt.Sprintf("%d files", len(entries)), k)
		return
	}
	items := make([]appmodel.Item, 0, len(entries))
	for _, e := range entries {
		items = append(items, appmodel.Item{Name: e.name, Value: string(e.data)})
	}
	im.notes.how(im.configVolume(s, source, target, items), fmt.Sprintf("a config group of %d files", len(items)), k)
}

// configVolume mounts a config group as a directory.
func (im *importer) configVolume(s *service, source, target string, items []appmodel.Item) string {
	name := s.id
	if base := path.Base(source); base != "." && label(base) != s.id {
		name += "-" + base
	}
	group := im.names.configs.take(name)
	im.app.Configs = append(im.app.Configs, appmodel.Config{Name: group, Items: items})
	volume := s.volumes.take(path.Base(target))
	s.comp.Volumes = append(s.comp.Volumes, appmodel.Volume{Name: volume, Kind: appmodel.VolumeConfig, Config: group})
	s.comp.Mounts = append(s.comp.Mounts, appmodel.Mount{Path: target, Volume: volume, ReadOnly: true})
	return "configs[" + group + "]"
}

// itemName reports whether a group may hold an item of this name.
func itemName(s string) bool {
	return len(s) <= 253 && s != "." && s != ".." && regexp.MustCompile(`^[-._a-zA-Z0-9]+$`).MatchString(s) && !strings.HasPrefix(s, "..")
}
