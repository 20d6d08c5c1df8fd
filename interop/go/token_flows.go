// Flows with a bearer token as the password: what it allows, its end, and its renewal.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const allScopes = "leveret.configure:*/* leveret.write:*/* leveret.read:*/*"

var tokenKey = os.Getenv("TOKEN_KEY")

// Only where there is the key that signs tokens.
func tokenFlows() []namedFlow {
	if tokenKey == "" {
		return nil
	}
	return []namedFlow{
		{"token_login", tokenLogin},
		{"token_scopes", tokenScopes},
		{"token_expiry", tokenExpiry},
	}
}

func signingKey() *rsa.PrivateKey {
	block, _ := pem.Decode(get(os.ReadFile(tokenKey)))
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key
	}
	return get(x509.ParsePKCS8PrivateKey(block.Bytes)).(*rsa.PrivateKey)
}

func token(lifetime time.Duration, scopes, user string) string {
	encode := base64.RawURLEncoding.EncodeToString
	header := get(json.Marshal(map[string]any{"alg": "RS256", "typ": "JWT", "kid": "interop"}))
	claims := get(json.Marshal(map[string]any{
		"sub": user, "aud": "leveret", "scope": scopes, "exp": time.Now().Add(lifetime).Unix(),
	}))
	message := encode(header) + "." + encode(claims)
	digest := sha256.Sum256([]byte(message))
	signature := get(rsa.SignPKCS1v15(rand.Reader, signingKey(), crypto.SHA256, digest[:]))
	return message + "." + encode(signature)
}

func dialWith(secret string) (*amqp.Connection, error) {
	sasl := []amqp.Authentication{&amqp.PlainAuth{Username: "", Password: secret}}
	return amqp.DialConfig(uri, amqp.Config{Dial: amqp.DefaultDial(waitMax), SASL: sasl})
}

func (f *flow) connectWith(secret string) *amqp.Connection {
	connection := get(dialWith(secret))
	f.connections = append(f.connections, connection)
	return connection
}

// A good token opens a connection, one that has expired or is somebody else's does not.
func tokenLogin(f *flow) {
	good := token(time.Minute, allScopes, "hare")
	publisher := newPublisher(f.connectWith(good))
	queue := f.queue(publisher.Channel, "queue")
	must(publisher.tryPublish("", queue, amqp.Publishing{Body: []byte("by token")}))
	equal(bodies(drain(publisher.Channel, queue)), []string{"by token"}, "what came back")
	forged := good[:len(good)-8] + "AAAAAAAA"
	for _, bad := range []string{token(-time.Second, allScopes, "hare"), forged} {
		_, err := dialWith(bad)
		check(err != nil, "a bad token was not refused")
		check(errors.Is(err, amqp.ErrCredentials) || strings.Contains(err.Error(), "403"),
			"not refused for its token: %v", err)
	}
}

// What no scope allows closes the channel with 403.
func tokenScopes(f *flow) {
	connection := f.connectWith(token(time.Minute, "leveret.configure:*/mine.*", "hare"))
	channel := get(connection.Channel())
	get(channel.QueueDeclare("mine."+f.unique("queue"), false, true, true, false, nil))
	_, err := channel.QueueDeclare("yours.interop", false, true, true, false, nil)
	closedWith(amqp.AccessRefused, err)
	check(strings.Contains(err.Error(), "refused for user 'hare'"), "%v", err)
}

// A token that ends closes its connection; one that was renewed in time lives on.
func tokenExpiry(f *flow) {
	short := token(3*time.Second, allScopes, "hare")
	ends, renewed := f.connectWith(short), f.connectWith(short)
	closed := ends.NotifyClose(make(chan *amqp.Error, 1))
	must(renewed.UpdateSecret(token(time.Minute, allScopes, "hare"), "about to expire"))
	reason := receive(closed, "the end of the connection")
	equal(reason.Code, amqp.ConnectionForced, "the reply code")
	equal(reason.Reason, "CONNECTION_FORCED - credential expired", "the close")
	time.Sleep(500 * time.Millisecond)
	f.queue(get(renewed.Channel()), "renewed")
	closed = renewed.NotifyClose(make(chan *amqp.Error, 1))
	go renewed.UpdateSecret(token(time.Minute, allScopes, "fox"), "another user")
	equal(receive(closed, "the end of the other user").Code, amqp.NotAllowed, "the reply code")
}
