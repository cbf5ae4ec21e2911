// Package storagetest says what every driver of records does, as tests: for
// authors of drivers. A driver that passes [Records] is a good one.
//
//	func TestRecords(t *testing.T) {
//		storagetest.Records(t, func(t testing.TB) driver.Records { return open(t) }, nil)
//	}
//
// Each promise has a wrong driver in the tests of this package that breaks it,
// and that no other promise objects to.
//
// # Errors
//
// What a driver breaks is said by the failure of the subtest that is named
// after the promise.
//
// # Concurrency
//
// The promises run as parallel subtests, each on a store of its own.
package storagetest
