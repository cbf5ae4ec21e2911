package boltrecords

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"

	"github.com/appspan-dev/appspan"
)

// bbolt trusts its pages: a damaged one makes it read beyond the file, which
// is a fault that no program survives, or run in circles. So a file's
// structure is checked before it is used. Values have checksums of their own.
//
// A page is its number (8 bytes), type (2), count of elements (2) and count of
// further pages (4), then elements of 16 bytes: position of the key relative
// to the element (4) and its size (4), then the page of a branch (8); a leaf
// has flags (4) first, and the size of the value (4) last.
const (
	pageHeader   = 16
	element      = 16
	pageBranch   = 1
	pageLeaf     = 2
	pageFreelist = 16
	elementIsSub = 1 // the value of a leaf's element is a bucket
	noFreelist   = 1<<64 - 1
	maxDepth     = 64
)

var order = binary.NativeEndian

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s; restore it from an export or a copy", appspan.ErrCorrupt, fmt.Sprintf(format, args...))
}

// verifier walks the pages of one file.
type verifier struct {
	file     *os.File
	pageSize uint64
	pages    uint64 // that the file has by its meta page
	seen     []bool
}

// verify checks a file that nobody writes meanwhile.
func verify(file *os.File, pageSize int) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	v := &verifier{file: file, pageSize: uint64(pageSize)}
	root, freelist, err := v.meta()
	if err != nil {
		return err
	}
	if v.pages < 4 || v.pages > uint64(info.Size())/v.pageSize {
		return damaged("the file is cut: it has %d bytes and should have %d pages of %d", info.Size(), v.pages, v.pageSize)
	}
	v.seen = make([]bool, v.pages)
	v.seen[0], v.seen[1] = true, true
	if err := v.tree(root, nil, nil, 0); err != nil {
		return err
	}
	return v.freelist(freelist)
}

// meta reads the newest of the two meta pages that is whole.
func (v *verifier) meta() (root, freelist uint64, err error) {
	found, newest := false, uint64(0)
	for n := range uint64(2) {
		page := make([]byte, pageHeader+64)
		if _, err := v.file.ReadAt(page, int64(n*v.pageSize)); err != nil {
			return 0, 0, damaged("a meta page cannot be read: %v", err)
		}
		meta := page[pageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:56]) // it has no errors
		if sum.Sum64() != order.Uint64(meta[56:]) {
			continue
		}
		if txid := order.Uint64(meta[48:]); !found || txid > newest {
			found, newest = true, txid
			root, freelist, v.pages = order.Uint64(meta[16:]), order.Uint64(meta[32:]), order.Uint64(meta[40:])
		}
	}
	if !found {
		return 0, 0, damaged("no meta page is whole")
	}
	return root, freelist, nil
}

// page reads a page with those that continue it, once.
func (v *verifier) page(n uint64) ([]byte, error) {
	if n >= v.pages || v.seen[n] {
		return nil, damaged("page %d is used twice, or is none", n)
	}
	header := make([]byte, pageHeader)
	if _, err := v.file.ReadAt(header, int64(n*v.pageSize)); err != nil {
		return nil, err
	}
	end := n + 1 + uint64(order.Uint32(header[12:]))
	if order.Uint64(header) != n || end > v.pages {
		return nil, damaged("page %d has another number, or goes beyond the file", n)
	}
	for i := n; i < end; i++ {
		if v.seen[i] {
			return nil, damaged("page %d is used twice", i)
		}
		v.seen[i] = true
	}
	page := make([]byte, (end-n)*v.pageSize)
	_, err := v.file.ReadAt(page, int64(n*v.pageSize))
	return page, err
}

// tree checks the tree below a page, whose keys are from low on, below high.
func (v *verifier) tree(n uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return damaged("its pages are too deep")
	}
	page, err := v.page(n)
	if err != nil {
		return err
	}
	return v.node(page, low, high, depth)
}

// node checks one page, also one within a value.
func (v *verifier) node(page, low, high []byte, depth int) error {
	kind, count := order.Uint16(page[8:]), int(order.Uint16(page[10:]))
	if kind != pageBranch && kind != pageLeaf || pageHeader+count*element > len(page) || kind == pageBranch && count == 0 {
		return damaged("a page is no page of records")
	}
	keys := make([][]byte, count)
	for i := range count {
		at := pageHeader + i*element
		e := page[at:]
		position, key, value := order.Uint32(e), order.Uint32(e[4:]), uint32(0)
		if kind == pageLeaf {
			position, key, value = order.Uint32(e[4:]), order.Uint32(e[8:]), order.Uint32(e[12:])
		}
		begin := uint64(at) + uint64(position)
		middle, end := begin+uint64(key), begin+uint64(key)+uint64(value)
		if begin < uint64(pageHeader+count*element) || end > uint64(len(page)) {
			return damaged("a record goes beyond its page")
		}
		keys[i] = page[begin:middle]
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 || kind == pageLeaf && bytes.Compare(keys[i], low) < 0 || high != nil && bytes.Compare(keys[i], high) >= 0 {
			return damaged("its keys are out of order")
		}
		if kind == pageLeaf {
			switch flags := order.Uint32(e); flags {
			case 0:
			case elementIsSub:
				if err := v.bucket(page[middle:end], depth); err != nil {
					return err
				}
			default:
				return damaged("a record has unknown flags %x", flags)
			}
		}
	}
	if kind == pageLeaf {
		return nil
	}
	for i := range count {
		least, most := low, high
		if i > 0 {
			least = keys[i]
		}
		if i+1 < count {
			most = keys[i+1]
		}
		if err := v.tree(order.Uint64(page[pageHeader+i*element+8:]), least, most, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket: its root page and sequence, and without a root page
// a page within the value.
func (v *verifier) bucket(value []byte, depth int) error {
	if len(value) < 16 {
		return damaged("a bucket is cut")
	}
	if root := order.Uint64(value); root != 0 {
		return v.tree(root, nil, nil, depth+1)
	}
	if len(value) < 16+pageHeader || depth > maxDepth || order.Uint16(value[16+8:]) != pageLeaf {
		return damaged("a small bucket is cut")
	}
	return v.node(value[16:], nil, nil, depth+1)
}

// freelist checks that what is listed as free is not in use.
func (v *verifier) freelist(n uint64) error {
	if n == noFreelist {
		return nil
	}
	page, err := v.page(n)
	if err != nil {
		return err
	}
	count, ids := uint64(order.Uint16(page[10:])), page[pageHeader:]
	if count == 0xffff {
		count, ids = order.Uint64(ids), ids[8:]
	}
	if order.Uint16(page[8:]) != pageFreelist || count > uint64(len(ids)/8) {
		return damaged("the list of free pages is none")
	}
	for i := range count {
		id := order.Uint64(ids[i*8:])
		if id >= v.pages || v.seen[id] {
			return damaged("page %d is free and in use", id)
		}
		v.seen[id] = true
	}
	return nil
}
