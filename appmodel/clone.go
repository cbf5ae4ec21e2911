package appmodel

import "reflect"

// Clone returns a copy that shares no memory with a; the clone of nil is nil.
func Clone(a *Application) *Application {
	if a == nil {
		return nil
	}
	c := deepCopy(reflect.ValueOf(a))
	return c.Interface().(*Application)
}

// deepCopy copies what v reaches. Structs with unexported fields (Sensitive)
// are immutable values and copied as such.
func deepCopy(v reflect.Value) reflect.Value {
	if !reaches(v.Type()) {
		return v
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	unshare(c)
	return c
}

// unshare replaces what v, which can be set, reaches by copies.
func unshare(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		unshare(c.Elem())
		v.Set(c)
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		if reaches(v.Type().Elem()) {
			for i := range c.Len() {
				unshare(c.Index(i))
			}
		}
		v.Set(c)
	case reflect.Map:
		if v.IsNil() {
			return
		}
		c := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), deepCopy(it.Value()))
		}
		v.Set(c)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); reaches(f.Type()) && f.CanSet() {
				unshare(f)
			}
		}
	}
}

// reaches reports whether a value of the type can hold memory to be copied.
func reaches(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Struct:
		return true
	}
	return false
}
