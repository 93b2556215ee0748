mod language;
mod property;
