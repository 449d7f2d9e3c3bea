// Package gittest serves real Git repositories on loopback: git http-backend over HTTP or HTTPS, and sshd.
package gittest
