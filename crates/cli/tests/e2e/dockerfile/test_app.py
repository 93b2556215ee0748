import unittest

import app


class Answers(unittest.TestCase):
    def test_hello(self):
        self.assertEqual(app.answer("/")["says"], "WANTED")

    def test_health(self):
        self.assertEqual(app.answer("/health"), {"status": "healthy"})
