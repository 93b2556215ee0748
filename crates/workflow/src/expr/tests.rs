mod exact;
mod language;
mod property;
