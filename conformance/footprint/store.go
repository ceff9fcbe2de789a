package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
)

// store writes objects to etcd as the API server stores them. That takes
// seconds for 150,000 Pods, and what the API server then lists and watches is
// no different: a template made through the API says how it stores them.
type store struct {
	url  string
	puts []operation
}

// operation is one of etcd's JSON gateway, where bytes are base64.
type operation struct {
	Put    *keyValue `json:"requestPut,omitempty"`
	Delete *keyValue `json:"requestDeleteRange,omitempty"`
}

type keyValue struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value,omitempty"`
}

// magic begins what the API server stores as protobuf.
var magic = []byte("k8s\x00")

type protobufObject interface{ Marshal() ([]byte, error) }

func (s *store) put(ctx context.Context, key, apiVersion, kind string, o protobufObject) error {
	raw, err := o.Marshal()
	if err != nil {
		return err
	}
	envelope := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: kind}, Raw: raw}
	body, err := envelope.Marshal()
	if err != nil {
		return err
	}
	s.puts = append(s.puts, operation{Put: &keyValue{[]byte(key), append(bytes.Clone(magic), body...)}})
	return s.flush(ctx, 100)
}

func (s *store) remove(key string) {
	s.puts = append(s.puts, operation{Delete: &keyValue{Key: []byte(key)}})
}

// flush sends what there is if it is so many operations; etcd takes 128 in one
// transaction.
func (s *store) flush(ctx context.Context, least int) error {
	if len(s.puts) == 0 || len(s.puts) < least {
		return nil
	}
	body, err := json.Marshal(map[string]any{"success": s.puts})
	if err != nil {
		return err
	}
	s.puts = s.puts[:0]
	_, err = s.post(ctx, "/v3/kv/txn", body)
	return err
}

// get reads one object into o.
func (s *store) get(ctx context.Context, key string, o interface{ Unmarshal([]byte) error }) error {
	body, err := json.Marshal(keyValue{Key: []byte(key)})
	if err != nil {
		return err
	}
	answer, err := s.post(ctx, "/v3/kv/range", body)
	if err != nil {
		return err
	}
	var found struct{ Kvs []keyValue }
	if err := json.Unmarshal(answer, &found); err != nil {
		return err
	}
	if len(found.Kvs) != 1 {
		return fmt.Errorf("etcd has %d objects at %s", len(found.Kvs), key)
	}
	stored, ok := bytes.CutPrefix(found.Kvs[0].Value, magic)
	if !ok {
		return errors.New("the API server does not store protobuf")
	}
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(stored); err != nil {
		return err
	}
	return o.Unmarshal(envelope.Raw)
}

func (s *store) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("etcd: %s: %s", response.Status, answer)
	}
	return answer, err
}
