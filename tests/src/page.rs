//! A web page on the loopback.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::Result;

/// One page at every path of one port, until the test ends.
#[derive(Debug)]
pub struct Page(SocketAddr);

impl Page {
    /// Serves `body` as `text/plain`.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn serve(body: &'static str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is none of our business.
                thread::spawn(move || drop(answer(&stream, body)));
            }
        });
        Ok(Self(address))
    }

    /// Its address, with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.0)
    }
}

fn answer(mut stream: &TcpStream, body: &str) -> Result<()> {
    let mut lines = BufReader::new(stream).lines();
    // The head ends with an empty line; a GET has no body.
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    Ok(())
}
