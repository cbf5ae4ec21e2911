package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/seal"
)

func ExampleNewKeyring() {
	key, err := seal.NewKey(bytes.Repeat([]byte{7}, 32)) // 32 random bytes, from wherever you keep them
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := seal.NewKeyring(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := keys.Seal([]byte("hunter2"), []byte("registry of team blue"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = keys.Open(sealed, []byte("registry of team red"))
	fmt.Println("moved to another team:", errors.Is(err, appspan.ErrCorrupt))
	password, err := keys.Open(sealed, []byte("registry of team blue"))
	fmt.Println(string(password), err)
	fmt.Println(key)
	// Output:
	// moved to another team: true
	// hunter2 <nil>
	// key a994b0209bff1fb6 (redacted)
}

func ExampleOpenOrCreateKeyFile() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")

	keys, err := seal.OpenOrCreateKeyFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	old, _ := keys.Seal([]byte("hunter2"), nil)

	// A new key: store it before anything is sealed with it.
	if _, err := keys.Rotate(nil); err != nil {
		fmt.Println(err)
		return
	}
	if err := keys.WriteKeyFile(path); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("to be sealed again:", keys.Stale(old))
	password, err := keys.Open(old, nil)
	fmt.Println(string(password), err)
	// Output:
	// to be sealed again: true
	// hunter2 <nil>
}

func ExampleKeyring_MAC() {
	key, _ := seal.NewKey(bytes.Repeat([]byte{7}, 32))
	keys, _ := seal.NewKeyring(key)
	mac := keys.MAC("release", []byte("shop"), []byte("revision 4"))
	fmt.Println(keys.VerifyMAC("release", mac, []byte("shop"), []byte("revision 4")))
	fmt.Println(keys.VerifyMAC("release", mac, []byte("shop"), []byte("revision 5")))
	// Output:
	// true
	// false
}
