package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
)

// Use is one place of an application that names an image which can be
// replaced there.
type Use struct {
	// Path is the place: "components[web].image", or below the object or the
	// patch that holds it.
	Path string `json:"path"`
	// Image is the reference as it is written.
	Image string `json:"image"`
}

// Note is a place of an application that may name an image, and why it is left
// as it is.
type Note struct {
	// Path is the place, as in Use.
	Path string `json:"path"`
	// Message says what it is and what to do.
	Message string `json:"message"`
}

// Find returns every image of an application, in the document's order, and
// the places that it can't judge. It knows the image of each component that
// has pods (of functions and jobs too, also of a disabled one, since an
// answer may enable it), of its init containers and sidecars; in objects and
// patches the containers of pods, wherever they stand, and volumes of type
// image. Hooks run in the containers that are there.
//
// An image that is composed when the application is installed is a note:
// relocate the resolved application.
func Find(app *appmodel.Application) ([]Use, []Note) {
	var uses []Use
	notes := visit(appmodel.Clone(app), func(path, image string) string {
		uses = append(uses, Use{Path: path, Image: image})
		return image
	})
	return uses, notes
}

// visit puts in place of each image what replace returns for it.
func visit(app *appmodel.Application, replace func(path, image string) string) []Note {
	v := &visitor{replace: replace}
	if app == nil {
		return nil
	}
	for i := range app.Components {
		c := &app.Components[i]
		at := "components[" + c.ID + "]."
		v.typed(at+"image", &c.Image)
		for _, group := range []struct {
			name string
			list []appmodel.NamedContainer
		}{{"initContainers", c.InitContainers}, {"sidecars", c.Sidecars}} {
			for k := range group.list {
				v.typed(fmt.Sprintf("%s%s[%s].image", at, group.name, group.list[k].Name), &group.list[k].Image)
			}
		}
		for k := range c.Objects {
			v.raw(at+"objects["+identity(c.Objects[k].Manifest)+"]", &c.Objects[k].Manifest)
		}
		if c.Chart != nil {
			v.note(at+"chart", "the chart brings images of its own: give their places in its values, or relocate what it renders")
		}
	}
	for i := range app.Patches {
		v.raw("patches["+app.Patches[i].ID+"].apply", &app.Patches[i].Apply)
	}
	for _, p := range app.Parameters {
		for _, path := range p.Sets {
			if strings.HasSuffix(path, "image") {
				v.note(path, "parameter "+p.Name+" sets it: relocate the resolved application")
			}
		}
	}
	return v.notes
}

type visitor struct {
	replace func(path, image string) string
	notes   []Note
}

func (v *visitor) note(path, message string) {
	v.notes = append(v.notes, Note{Path: path, Message: message})
}

func (v *visitor) typed(path string, image *string) {
	if *image != "" {
		*image = v.replace(path, *image)
	}
}

// raw visits a JSON document, which stays as it was written unless something
// in it is replaced.
func (v *visitor) raw(path string, doc *appmodel.JSON) {
	if len(*doc) == 0 {
		return
	}
	var tree any
	in := json.NewDecoder(bytes.NewReader(*doc))
	in.UseNumber()
	if in.Decode(&tree) != nil {
		v.note(path, "it can't be read as JSON")
		return
	}
	if !v.tree(path, other, tree) {
		return
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(tree) != nil {
		v.note(path, "it can't be written as JSON")
		return
	}
	*doc = bytes.TrimSpace(out.Bytes())
}

// role is what a value is for whatever holds it.
type role int

const (
	other role = iota
	container
	volume
	imageVolume
)

// roleOf is the role of what stands under a key, or of the entries of a list
// that does.
func roleOf(holder role, key string) role {
	switch {
	case key == "containers", key == "initContainers", key == "ephemeralContainers":
		return container
	case key == "volumes":
		return volume
	case holder == volume && key == "image":
		return imageVolume
	}
	return other
}

// tree reports whether something in a value was replaced.
func (v *visitor) tree(path string, is role, value any) bool {
	changed := false
	switch value := value.(type) {
	case []any:
		for i, entry := range value {
			changed = v.tree(fmt.Sprintf("%s[%s]", path, entryName(entry, i)), is, entry) || changed
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			at := path + "." + key
			text, isText := value[key].(string)
			switch {
			case isText && (is == container && key == "image" || is == imageVolume && key == "reference"):
				if to := v.text(at, text); to != text {
					value[key], changed = to, true
				}
			case isText && key == "image" && text != "":
				if _, err := ParseRef(text); err == nil {
					v.note(at, fmt.Sprintf("%q may be an image, and is left as it is: whether this kind means one is not known", text))
				}
			default:
				changed = v.tree(at, roleOf(is, key), value[key]) || changed
			}
		}
	}
	return changed
}

// text is what stands for an image in a JSON document.
func (v *visitor) text(path, image string) string {
	switch _, err := ParseRef(image); {
	case image == "":
	case strings.Contains(image, "${"):
		v.note(path, fmt.Sprintf("%q is composed when the application is installed: relocate the resolved application", image))
	case err != nil:
		v.note(path, fmt.Sprintf("%q is no image reference", image))
	default:
		return v.replace(path, image)
	}
	return image
}

// entryName is how an entry of a list is named in a path.
func entryName(entry any, i int) string {
	if m, ok := entry.(map[string]any); ok {
		if name, ok := m["name"].(string); ok {
			return name
		}
	}
	return strconv.Itoa(i)
}

// identity is how a raw object is named in a path: group/kind/name.
func identity(manifest appmodel.JSON) string {
	var o struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(manifest, &o) // what can't be read has no name
	group, _, hasGroup := strings.Cut(o.APIVersion, "/")
	if !hasGroup {
		group = ""
	}
	return strings.TrimPrefix(group+"/"+o.Kind+"/"+o.Metadata.Name, "/")
}
