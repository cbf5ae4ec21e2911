package appmodel

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

var parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// parameters checks parameters and their rules. CEL and schemas are read by
// whoever installs.
func (v *checker) parameters() {
	for _, p := range v.app.Parameters {
		at := Path{}.field("parameters").entry(p.Name)
		if p.Name != "" && !parameterName.MatchString(p.Name) {
			v.errorf(at.field("name"), "use letters, digits and underscores, and do not begin with a digit", "%q is not the name of a parameter", cut(p.Name))
		}
		if s := strings.TrimSpace(string(p.Schema)); s != "" && s != "true" && s != "false" && s[0] != '{' {
			v.errorf(at.field("schema"), "write for example {type: string}", "is not a JSON Schema")
		}
		if p.Secret && len(p.Default) > 0 {
			v.errorf(at.field("default"), "remove it; a secret has to be answered", "a secret parameter's default would stand here for everybody to read")
		}
		for _, s := range p.Sets {
			here := at.field("sets").entry(s)
			target, f, err := parseLocated(s)
			switch {
			case err != nil:
				v.lostPath(s, err, at.field("sets"))
			case outOfReach(target) || target.segs[0].name == "patches":
				v.errorf(here, "name a field of a component, route, volume, config or secret", "is out of a parameter's reach")
			case f.kind == formStruct || f.kind == formList:
				v.errorf(here, "name one of its fields", "is no single field")
			default:
				v.entries(target, at.field("sets"))
			}
		}
	}
}

// policies checks that each policy names something that there is.
func (v *checker) policies() {
	for _, p := range v.app.Policies {
		at := Path{}.field("policies").entry(p.Path)
		if p.Path == "" {
			continue
		}
		target, _, err := parseLocated(p.Path)
		if err != nil {
			v.lostPath(p.Path, err, at)
			continue
		}
		v.entries(target, at)
	}
}

// lostPath reports a path that leads nowhere in the model.
func (v *checker) lostPath(s string, err error, at Path) {
	p, parseErr := ParsePath(s)
	if parseErr != nil {
		v.fail(at, parseErr)
		return
	}
	// The longest part that there is, and what was probably meant behind it.
	for i := len(p.segs) - 1; i > 0; i-- {
		head, f, headErr := locate(Path{segs: p.segs[:i]})
		if headErr != nil {
			continue
		}
		next := ""
		if f.kind == formStruct && !p.segs[i].key {
			if near := nearestField(f.typ, p.segs[i].name, ""); near != "" {
				next = fmt.Sprintf("did you mean %s.%s?", head, near)
			}
		}
		if next == "" {
			_, next = problemOf(err)
		}
		v.errorf(at, next, "there is no %s", p)
		return
	}
	v.fail(at, err)
}

// entries checks that the entries that a path names are there.
func (v *checker) entries(p Path, at Path) {
	val := reflect.ValueOf(v.app).Elem()
	f := modelForm()
	for i, seg := range p.segs {
		for val.IsValid() && val.Kind() == reflect.Pointer {
			val = val.Elem()
		}
		if !val.IsValid() {
			return // a block that is not written yet
		}
		switch f.kind {
		case formStruct:
			field := f.byName[seg.name]
			val, f = val.FieldByIndex(field.index), field.form
		case formList:
			if seg.any {
				return
			}
			var keys []string
			found := -1
			for j := range val.Len() {
				key := f.key(val.Index(j))
				keys = append(keys, key)
				if key == seg.name {
					found = j
				}
			}
			if found < 0 {
				there := Path{segs: p.segs[:i+1]}
				next := ""
				if near := nearest(seg.name, keys); near != "" {
					next = "did you mean " + Path{segs: p.segs[:i]}.entry(near).String() + "?"
				}
				v.errorf(at, next, "there is no %s", there)
				return
			}
			val, f = val.Index(found), f.elem
		default:
			return
		}
	}
}

// visitStrings calls visit with every string of a JSON value, keys left out.
func visitStrings(raw JSON, visit func(string)) {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return
	}
	var walk func(any)
	walk = func(x any) {
		switch x := x.(type) {
		case string:
			visit(x)
		case []any:
			for _, e := range x {
				walk(e)
			}
		case map[string]any:
			for _, key := range sortedKeys(x) {
				walk(x[key])
			}
		}
	}
	walk(value)
}
