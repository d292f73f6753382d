use std::ops::Range;

use crate::clock::Clock;
use bytes::Bytes;

use super::{
    Object, SpecError,
    backend::{Answer, Backend, Upload},
    connection_string::Account,
};

pub(super) struct Azure;

impl Azure {
    pub(super) fn new(_account: &Account, _container: &str, _clock: Clock) -> Result<Self, SpecError> {
        Ok(Self)
    }
}

impl Backend for Azure {
    fn description(&self) -> &str {
        todo!()
    }
    fn put_new<'a>(&'a self, _: &'a str, _: Bytes) -> Answer<'a, ()> {
        todo!()
    }
    fn get<'a>(&'a self, _: &'a str) -> Answer<'a, Bytes> {
        todo!()
    }
    fn get_range<'a>(&'a self, _: &'a str, _: Range<u64>) -> Answer<'a, Bytes> {
        todo!()
    }
    fn size<'a>(&'a self, _: &'a str) -> Answer<'a, u64> {
        todo!()
    }
    fn list<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<Object>> {
        todo!()
    }
    fn delete<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        todo!()
    }
    fn create<'a>(&'a self, _: &'a str) -> Answer<'a, Box<dyn Upload>> {
        todo!()
    }
}
