package netns

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What cannot be entered is an error, and nothing runs elsewhere instead.
func TestANamespaceThatIsNotThereRunsNothing(t *testing.T) {
	ran := false
	do := func() error {
		ran = true
		return nil
	}
	if err := Path(filepath.Join(t.TempDir(), "none")).Do(do); !errors.Is(err, os.ErrNotExist) || ran {
		t.Errorf("ran %t, %v", ran, err)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Path(plain).Do(do); err == nil || ran {
		t.Errorf("a plain file is a namespace: ran %t, %v", ran, err)
	}
}

func TestOwnIsWhatNilStandsFor(t *testing.T) {
	boom := errors.New("boom")
	if err := OrOwn(nil).Do(func() error { return boom }); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if OrOwn(Path("x")) != Path("x") {
		t.Error("a namespace is replaced")
	}
}
