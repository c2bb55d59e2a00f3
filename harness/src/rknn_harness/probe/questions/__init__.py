"""The probe's questions, by what they are about."""
