package appmodel

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/appspan-dev/appspan"
)

// Canonical is the normal form of an application: the same bytes for all
// documents that mean the same. Defaults and empty values are left out, lists
// without an order sorted by key, quantities and durations normalised; it is
// the JSON of RFC 8785, but that numbers of foreign data that a double can't
// hold keep all their digits. It holds inline secret values: pass it through
// [Redact] first where others read it.
func Canonical(a *Application) ([]byte, error) {
	if a == nil {
		return nil, fmt.Errorf("%w: there is no application; give one", appspan.ErrInvalid)
	}
	full := WithDefaults(a)
	computedDefaults(full, defaultDrop{})
	w := &canonicalWriter{}
	if err := w.value(reflect.ValueOf(full).Elem(), shapeField{}); err != nil {
		return nil, err
	}
	return w.out, nil
}

// Hash is "sha256:" and the digest of [Canonical] after [Redact]: it says
// nothing of secret values, and does not change with them.
func Hash(a *Application) (string, error) {
	data, err := Canonical(Redact(a))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

type canonicalWriter struct{ out []byte }

// value writes a value that is not absent.
func (w *canonicalWriter) value(v reflect.Value, f shapeField) error {
	switch x := v.Interface().(type) {
	case JSON:
		return w.foreign(x)
	case Sensitive:
		w.text(x.Reveal())
		return nil
	case Duration:
		w.text(x.String())
		return nil
	case Quantity:
		w.text(string(x.Canonical()))
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return w.value(v.Elem(), f)
	case reflect.String:
		w.text(v.String())
	case reflect.Bool:
		w.out = strconv.AppendBool(w.out, v.Bool())
	case reflect.Int, reflect.Int64:
		w.out = strconv.AppendInt(w.out, v.Int(), 10)
	case reflect.Slice:
		return w.list(v, f)
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return compareUTF16(a.String(), b.String()) })
		w.out = append(w.out, '{')
		for i, key := range keys {
			w.member(key.String(), i == 0)
			if err := w.value(v.MapIndex(key), shapeField{}); err != nil {
				return err
			}
		}
		w.out = append(w.out, '}')
	case reflect.Struct:
		return w.structure(v)
	}
	return nil
}

// structure writes the fields that say something.
func (w *canonicalWriter) structure(v reflect.Value) error {
	s := shapeOf(v.Type())
	fields := slices.Clone(s.fields)
	slices.SortFunc(fields, func(a, b shapeField) int { return compareUTF16(a.name, b.name) })
	w.out = append(w.out, '{')
	first := true
	for _, f := range fields {
		fv := v.FieldByIndex(f.index)
		if isDefault(fv, f) {
			continue
		}
		start := len(w.out)
		w.member(f.name, first)
		if err := w.value(fv, f); err != nil {
			return err
		}
		if bytes.HasSuffix(w.out, []byte(":{}")) && emptySaysNothing(fv, f) {
			w.out = w.out[:start]
			continue
		}
		first = false
	}
	w.out = append(w.out, '}')
	return nil
}

// isDefault reports whether a field says no more than its absence.
func isDefault(v reflect.Value, f shapeField) bool {
	if isEmpty(v) {
		return true
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if f.def == "" {
		return false
	}
	want := reflect.New(v.Type()).Elem()
	setDefault(want, f.def)
	return v.Equal(want)
}

// emptySaysNothing reports whether a block without fields is as good as none:
// not where it is the chosen member of a one-of group or holds such members
// itself.
func emptySaysNothing(v reflect.Value, f shapeField) bool {
	if f.oneof != "" || v.Kind() != reflect.Pointer && v.Kind() != reflect.Struct {
		return false
	}
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := shapeOf(t)
	return s != nil && !slices.ContainsFunc(s.fields, func(f shapeField) bool { return f.oneof != "" })
}

// list writes a list, sorted by key where its order has no meaning.
func (w *canonicalWriter) list(v reflect.Value, f shapeField) error {
	type entry struct {
		key  string
		text []byte
	}
	entries := make([]entry, v.Len())
	for i := range entries {
		inner := &canonicalWriter{}
		if err := inner.value(v.Index(i), shapeField{}); err != nil {
			return err
		}
		entries[i] = entry{text: inner.out}
		if len(f.key) > 0 {
			entries[i].key = entryText(v.Index(i), f.key)
		} else if f.set {
			entries[i].key = string(inner.out)
		}
	}
	if (len(f.key) > 0 || f.set) && !f.ordered {
		slices.SortStableFunc(entries, func(a, b entry) int {
			return cmp.Or(compareUTF16(a.key, b.key), bytes.Compare(a.text, b.text))
		})
	}
	if f.set {
		entries = slices.CompactFunc(entries, func(a, b entry) bool { return bytes.Equal(a.text, b.text) })
	}
	w.out = append(w.out, '[')
	for i, e := range entries {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, e.text...)
	}
	w.out = append(w.out, ']')
	return nil
}

// entryText is what an entry is sorted by.
func entryText(v reflect.Value, key []string) string {
	s := shapeOf(v.Type())
	parts := make([]string, len(key))
	for i, name := range key {
		f := s.byName[name]
		parts[i] = keyPart(v.FieldByIndex(f.index))
		if parts[i] == "" || parts[i] == f.def {
			switch e := v.Interface().(type) {
			case Need:
				parts[i] = e.Component
			case Metric:
				parts[i] = metricType(e)
			default:
				parts[i] = f.def
			}
		}
	}
	return strings.Join(parts, "\x00")
}

func (w *canonicalWriter) member(name string, first bool) {
	if !first {
		w.out = append(w.out, ',')
	}
	w.text(name)
	w.out = append(w.out, ':')
}

// text writes a string as RFC 8785 does: as little escaped as can be.
func (w *canonicalWriter) text(s string) { w.out = appendString(w.out, s) }

func appendString(b []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		case strings.IndexByte("\b\t\n\f\r", c) >= 0:
			b = append(b, '\\', "btn?fr"[c-8])
		default:
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(b, '"')
}

// foreign writes foreign JSON: members sorted, numbers normalised.
func (w *canonicalWriter) foreign(raw JSON) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return fmt.Errorf("%w: foreign data is not JSON; give any JSON value", appspan.ErrInvalid)
	}
	w.any(value)
	return nil
}

func (w *canonicalWriter) any(value any) {
	switch x := value.(type) {
	case map[string]any:
		keys := keysOf(x)
		slices.SortFunc(keys, compareUTF16)
		w.out = append(w.out, '{')
		for i, key := range keys {
			w.member(key, i == 0)
			w.any(x[key])
		}
		w.out = append(w.out, '}')
	case []any:
		w.out = append(w.out, '[')
		for i, e := range x {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.any(e)
		}
		w.out = append(w.out, ']')
	case string:
		w.text(x)
	case json.Number:
		w.out = append(w.out, canonicalNumber(x.String())...)
	case bool:
		w.out = strconv.AppendBool(w.out, x)
	default:
		w.out = append(w.out, "null"...)
	}
}

// canonicalNumber is a number as ECMAScript writes it, if that is the same
// number; else as it stands.
func canonicalNumber(s string) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	if !strings.ContainsAny(strings.FieldsFunc(s, func(r rune) bool { return r == 'e' || r == 'E' })[0], "123456789") {
		return "0"
	}
	text, err := json.Marshal(f)
	if err != nil || exponent(s) > 400 || exponent(s) < -400 {
		return s
	}
	written, ok1 := new(big.Rat).SetString(s)
	normal, ok2 := new(big.Rat).SetString(string(text))
	if ok1 && ok2 && written.Cmp(normal) == 0 {
		return string(text)
	}
	return s
}

// exponent is the exponent that a number is written with; a great one would
// make it long.
func exponent(s string) int {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return 0
	}
	n, err := strconv.Atoi(s[i+1:])
	if err != nil {
		return 1 << 30
	}
	return n
}

// compareUTF16 orders member names as RFC 8785 demands.
func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func sortValues(keys []reflect.Value) {
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
}
