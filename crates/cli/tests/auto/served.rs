//! Images of real small projects that answer over HTTP: built in two folders to the same digest, changed in their code
//! only, and run by Podman as nobody, on a root that cannot be written.

use super::fixture::{Fixture, has, pip_reaches};

const GO: &str = r#"package main

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"example.org/greet"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		zone, _ := time.LoadLocation("Europe/Paris")
		pool, _ := x509.SystemCertPool()
		temporary := os.WriteFile("/tmp/x", nil, 0o600)
		own := os.WriteFile("/app/x", nil, 0o600)
		fmt.Fprint(w, greet.Word, " ", zone, " ", len(pool.Subjects()) > 10, " ", temporary, " ", own != nil, " ", os.Getuid())
	})
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}
"#;

#[test]
fn a_go_program_with_a_module_beside_it() {
    if !has("auto_go_served", "go") {
        return;
    }
    let fixture = Fixture::new(&[
        (
            "go.mod",
            "module example.org/web\n\ngo 1.19\n\nrequire example.org/greet v0.0.0\n\nreplace example.org/greet => ./greet\n",
        ),
        ("greet/go.mod", "module example.org/greet\n\ngo 1.19\n"),
        ("greet/greet.go", "package greet\n\nconst Word = \"hello\"\n"),
        ("cmd/web/main.go", GO),
    ]);
    let image = fixture.build_and_change("greet/greet.go", "hello", "other");
    assert_eq!(image.config["Entrypoint"][0], "/app/web");
    assert!(image.config["ExposedPorts"]["8080/tcp"].is_object(), "{image:?}");
    if let Some(answer) = fixture.served("auto_go_served", false) {
        assert_eq!(answer, "hello Europe/Paris true <nil> true 65532");
    }
}

#[test]
fn a_go_program_with_its_dependencies_beside_it() {
    if !has("auto_go_vendored", "go") {
        return;
    }
    let fixture = Fixture::new(&[
        ("go.mod", "module example.org/tool\n\ngo 1.19\n\nrequire example.org/word v1.0.0\n"),
        ("vendor/modules.txt", "# example.org/word v1.0.0\n## explicit; go 1.19\nexample.org/word\n"),
        ("vendor/example.org/word/word.go", "package word\n\nconst Word = \"vendored\"\n"),
        ("main.go", "package main\n\nimport \"example.org/word\"\n\nfunc main() { print(word.Word) }\n"),
    ]);
    let files = fixture.build();
    let output = std::process::Command::new(files.join("app/tool")).output().expect("the program");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "vendored");
}

const RUST: &str = r#"use std::io::{Read, Write};
use std::net::ToSocketAddrs;
fn main() {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    for stream in std::net::TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 512]);
        let names = ("localhost", 1).to_socket_addrs().is_ok();
        let trust = std::fs::read("/etc/ssl/certs/ca-certificates.crt").map(|b| b.len() > 1000).unwrap_or(false);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let user = status.lines().find(|line| line.starts_with("Uid")).unwrap().split('\t').nth(1).unwrap().to_owned();
        let temporary = std::fs::write("/tmp/x", "").is_ok();
        write!(stream, "HTTP/1.0 200 OK\r\n\r\nrust {names} {trust} {temporary} {user}").unwrap();
    }
}
"#;

#[test]
fn one_rust_program_of_a_workspace() {
    if !has("auto_rust_served", "cargo") {
        return;
    }
    let package =
        |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    let fixture = Fixture::new(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"web\", \"job\"]\nresolver = \"2\"\n"),
        ("web/Cargo.toml", &package("web")),
        ("web/src/main.rs", RUST),
        ("job/Cargo.toml", &package("job")),
        ("job/src/main.rs", "fn main() {}\n"),
    ]);
    let said = fixture.windlass(&["build", "--auto"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("2 programs: job, web (say which with --program NAME)"), "{said}");
    let image = fixture.image(&fixture.project(), &["--auto", "--program", "web"]);
    assert_eq!(image.config["Entrypoint"][0], "/app/web");
    if let Some(answer) = fixture.served("auto_rust_served", false) {
        assert_eq!(answer, "rust true true true 65532");
    }
}

#[test]
fn a_site_with_its_own_server() {
    let fixture = Fixture::new(&[("index.html", "<h1>hi</h1>"), ("404.html", "no")]);
    let image = fixture.build_and_change("index.html", "hi", "other");
    let machine = fixture.told()["base"] == "machine";
    assert_eq!(image.config["StopSignal"], "SIGKILL");
    if let Some(answer) = fixture.served("auto_site_served", machine) {
        assert_eq!(answer, "<h1>hi</h1>");
    }
}

#[test]
fn a_node_server() {
    if !has("auto_node_served", "npm") {
        return;
    }
    let package = r#"{"name": "web", "version": "2.0.0", "scripts": {"start": "node server.js"}, "dependencies": {"dep": "file:./dep"}}"#;
    let server = "require('http').createServer((q, r) => r.end(`${require('dep')} ${process.getuid()} ${process.env.NODE_ENV}`))\
                  .listen(process.env.PORT, '127.0.0.1');\n";
    let fixture = Fixture::new(&[
        ("package.json", package),
        ("dep/package.json", r#"{"name": "dep", "version": "1.0.0"}"#),
        ("dep/index.js", "module.exports = 'dep';\n"),
        ("server.js", server),
    ]);
    let image = fixture.build_and_change("server.js", "require('dep')", "'changed'");
    assert_eq!(image.config["Labels"]["org.opencontainers.image.version"], "2.0.0");
    if let Some(answer) = fixture.served("auto_node_served", true) {
        assert_eq!(answer, "dep 65532 production");
    }
}

#[test]
fn a_python_server() {
    if !has("auto_python_served", "/usr/bin/python3")
        || !pip_reaches("auto_python_served", "gunicorn==22.0.0")
    {
        return;
    }
    let app = "import os\nfrom flask import Flask\n\nservice = Flask(__name__)\n\n\n@service.get('/')\ndef index():\n    \
               return f'flask {os.getuid()}'\n";
    let fixture = Fixture::new(&[
        ("requirements.txt", "flask==3.0.3\ngunicorn==22.0.0\n"),
        ("src/shop/__init__.py", ""),
        ("src/shop/web.py", app),
    ]);
    let image = fixture.build_and_change("src/shop/web.py", "flask {", "other {");
    assert_eq!(
        image.config["Entrypoint"].as_array().expect("words").last().expect("one"),
        "shop.web:service"
    );
    assert_eq!(image.layers.len(), 2, "packages and code");
    if let Some(answer) = fixture.served("auto_python_served", true) {
        assert_eq!(answer, "flask 65532");
    }
    // Programs of packages name no interpreter of this machine.
    let files = fixture.build();
    let program = std::fs::read_to_string(files.join("packages/bin/gunicorn")).expect("a program");
    assert!(program.starts_with("#!/usr/bin/env python3\n"), "{program}");
}

const JAVA: &str = r#"package org.example;

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Main {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv("PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        String word = new String(Main.class.getResourceAsStream("/word.txt").readAllBytes());
        server.createContext("/", exchange -> {
            byte[] body = ("java " + word).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
"#;

#[test]
fn a_gradle_project_has_files_apart_from_classes() {
    let fixture = Fixture::new(&[
        (
            "build.gradle",
            "plugins { id 'application' }\nversion = '2.0'\nmainClassName = 'org.example.Main'\n",
        ),
        ("settings.gradle", "rootProject.name = 'shop'\n"),
        ("src/main/java/org/example/Main.java", JAVA),
        ("src/main/resources/word.txt", "gradle"),
    ]);
    let told = fixture.told();
    assert_eq!((told["name"].as_str(), told["version"].as_str()), (Some("shop"), Some("2.0")));
    if !has("auto_gradle_served", "gradle") {
        return;
    }
    let image = fixture.build_and_change("src/main/java/org/example/Main.java", "\"java \"", "\"other \"");
    assert_eq!(image.layers.len(), 2, "resources and classes");
    if let Some(answer) = fixture.served("auto_gradle_served", true) {
        assert_eq!(answer, "java gradle");
    }
}
