package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	start    = `{"Action":"start","Package":"p"}` + "\n"
	passA    = `{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}` + "\n" + `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
	failB    = `{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: broken\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n"
	skipC    = `{"Action":"skip","Package":"p","Test":"TestC"}` + "\n"
	passPkg  = `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
	failPkg  = `{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
	noTests  = `{"Action":"start","Package":"q"}` + "\n" + `{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}` + "\n" + `{"Action":"skip","Package":"q"}` + "\n"
	panicked = `{"Action":"output","Package":"p","Test":"TestD","Output":"panic: boom\n"}` + "\n"
)

func TestReport(t *testing.T) {
	tests := []struct {
		name, in, require, leftOut string
		wantErr                    string // "" is green
		wantOut                    []string
		notOut                     string
	}{
		{name: "green", in: start + passA + passPkg + noTests, require: "# kernel\np TestA\n", wantOut: []string{"ok  \tp\t0.1s", "kernel tests: 1 of 1 passed", "1 passed, 0 failed, 0 skipped"}, notOut: "noise"},
		{name: "failure", in: start + passA + failB + failPkg, wantErr: "1 tests failed", wantOut: []string{"b_test.go:1: broken", "1 passed, 1 failed"}, notOut: "noise"},
		{name: "skip", in: start + skipC + passPkg, wantErr: "p TestC was skipped"},
		{name: "required test left out", in: start + passA + passPkg, require: "p TestKernel\n", wantErr: "p TestKernel is required and did not pass"},
		{name: "required test failed", in: start + failB + failPkg, require: "p TestB\n", wantErr: "p TestB is required"},
		{name: "build failure", in: `{"Action":"build-output","ImportPath":"p","Output":"p.go:1: syntax\n"}` + "\n" + start + failPkg, wantErr: "in 1 packages", wantOut: []string{"p.go:1: syntax"}},
		{name: "crash", in: start + panicked + failPkg, wantErr: "in 1 packages", wantOut: []string{"UNFINISHED: p TestD", "panic: boom"}},
		{name: "stream cut off", in: start + passA, wantErr: "p started and never ended"},
		{name: "left out", in: start + passA + passPkg, leftOut: "p TestKernel\nq TestPackets\n", wantOut: []string{"LEFT OUT: 2 tests of 2 packages", "sudo make test", "1 passed, 0 failed"}},
		{name: "left out and run all the same", in: start + passA + passPkg, leftOut: "p TestA\n", wantErr: "such as p TestA"},
		{name: "failure beside what is left out", in: start + failB + failPkg, leftOut: "p TestKernel\n", wantErr: "1 tests failed"},
		{name: "nothing ran", in: "go: no such tool\n", wantErr: "no package was tested", wantOut: []string{"go: no such tool"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := ""
			if tt.require != "" {
				file = filepath.Join(t.TempDir(), "required")
				if err := os.WriteFile(file, []byte(tt.require), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			leftOut := ""
			if tt.leftOut != "" {
				leftOut = filepath.Join(t.TempDir(), "left-out")
				if err := os.WriteFile(leftOut, []byte(tt.leftOut), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			err := run(file, leftOut, strings.NewReader(tt.in), &out)
			switch {
			case tt.wantErr == "" && err != nil:
				t.Fatalf("red: %v", err)
			case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Fatalf("error %v, want %q in it", err, tt.wantErr)
			}
			for _, want := range tt.wantOut {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
			if tt.notOut != "" && strings.Contains(out.String(), tt.notOut) {
				t.Errorf("output has %q:\n%s", tt.notOut, out.String())
			}
		})
	}
}

func TestRequiredFileMustNameTests(t *testing.T) {
	for name, content := range map[string]string{"empty": "# nothing\n", "malformed": "TestAlone\n"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "required")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readTests(file); err == nil {
				t.Error("accepted")
			}
		})
	}
}
