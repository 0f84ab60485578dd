"""Nurture: what is said (templates), in which order (sequences), to whom (enrollments), and what came of it.

Its modules are its public names: `templates.create`, `sequences.change`, `enrollments.enroll`.
"""
